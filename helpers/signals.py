"""End a run by a signal without leaving a kernel behind."""

import logging
import signal
from pathlib import Path
from types import FrameType

import psutil


class Interrupted(KeyboardInterrupt):
    """A signal asked the runner to stop.

    ``number`` is the signal's and ``folder`` the run's, once known. A
    ``KeyboardInterrupt``, since an event loop swallows most others.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number
        self.folder: Path | None = None


class StopSignals:
    """Turn SIGINT, SIGTERM and SIGHUP into ``Interrupted`` inside a ``with``.

    The kernels, which are children of this process, are killed first: one
    that is busy would keep papermill waiting. ``number`` remembers the
    signal in case the exception got lost in a callback.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopSignals":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # nohup starts a program with SIGHUP ignored; leave that so.
            if signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise ``Interrupted`` if a signal has come."""
        if self.number is not None:
            raise Interrupted(self.number)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        first, self.number = self.number is None, self.number or number
        # What was waiting for the kernels would complain of their death.
        for name in ("asyncio", "papermill"):
            logging.getLogger(name).disabled = True
        for child in psutil.Process().children(recursive=True):
            child.kill()
        if first:
            raise Interrupted(number)
