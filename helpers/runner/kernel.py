"""Execute one notebook through papermill; end by a signal without remains."""

import logging
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import nbformat
import papermill
import psutil
from ipykernel.kernelspec import make_ipkernel_cmd
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from papermill.exceptions import PapermillExecutionError, strip_color

from helpers.paths import ROOT


class ThisPython(AsyncKernelManager):
    """Starts this interpreter, whatever else is installed as ``python3``.

    It draws into the notebook, whatever the caller's MPLBACKEND says.
    """

    @property
    def kernel_spec(self) -> KernelSpec:
        """The specification it starts from."""
        env = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
        return KernelSpec(argv=make_ipkernel_cmd(), language="python", env=env)


def execute(
    source: Path, parameters: dict[str, object], output: Path
) -> tuple[int, str] | None:
    """Execute a notebook into ``output``; None if it ran to its end.

    Else the number of the code cell in which it stopped, and the traceback.
    The kernel's working directory is the project's root. ``output`` is
    written cell by cell, so it must lie where nobody takes it for whole.
    """
    bar = {"desc": source.stem, "leave": False}
    try:
        papermill.execute_notebook(
            source,
            output,
            parameters=parameters,
            kernel_name="python3",
            kernel_manager_class=ThisPython,
            language="python",
            progress_bar=bar if sys.stderr.isatty() else False,
            cwd=ROOT,
            coalesce_streams=True,
            # All is written by then; TensorFlow takes seconds to say goodbye.
            shutdown_kernel="immediate",
            # The kernel's remarks about its transport and its shutdown.
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
        )
        return None
    except PapermillExecutionError as error:
        text = strip_color("\n".join(error.traceback))
    except Exception:
        # The kernel died or never answered: there is no traceback from it.
        text = traceback.format_exc()
    cells = nbformat.read(output, as_version=4).cells
    codes = [c.metadata.papermill for c in cells if c.cell_type == "code"]
    started = [c for c in codes if c.start_time is not None]
    return len(started) - 1, text  # one is papermill's, with the parameters


class Interrupted(KeyboardInterrupt):
    """The signal ``args[0]`` came; an event loop swallows most others."""


@contextmanager
def stop_signals() -> Iterator[list[signal.Signals]]:
    """Turn SIGINT and SIGTERM into ``Interrupted``; yields those that came.

    The kernels, which are children of this process, are killed first: a busy
    one would keep papermill waiting. The list tells of an exception that got
    lost in a callback.
    """
    came: list[signal.Signals] = []

    def stop(number: int, frame: FrameType | None) -> None:
        came.append(signal.Signals(number))
        # What was waiting for the kernels would complain of their death.
        for name in ("asyncio", "papermill"):
            logging.getLogger(name).disabled = True
        for child in psutil.Process().children(recursive=True):
            child.kill()
        if len(came) == 1:
            raise Interrupted(came[0])

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
