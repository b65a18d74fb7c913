"""Execute one notebook through papermill, in a kernel that can be killed."""

import logging
import signal
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen
from types import FrameType

import nbformat
import papermill
import psutil
from ipykernel.kernelspec import make_ipkernel_cmd
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError, strip_color

from helpers.paths import ROOT

PUBLISHED = ("notebooks", "figures", "results")
"""The folders into which a notebook writes, below its RUN_DIR."""

KERNELS: dict[Path, Popen] = {}
"""The kernels of this process by the notebook that each writes."""

KILLED = "killed by SIGKILL"

Failure = tuple[int | None, str]
"""The number of the code cell in which a notebook stopped, and why."""


def attempt(
    execute: Callable[..., Failure | None],
    source: Path,
    parameters: dict[str, object],
    staging: Path,
    timeout: int | None = None,
    **how: object,
) -> tuple[Path, Failure | None, float]:
    """Execute a notebook in a fresh folder, on whatever machine this is.

    Returns that folder, ``staging`` and some letters, what ``execute`` did,
    and the seconds. An attempt whose worker got lost may still be writing
    when another one begins, so that no two share a folder.
    """
    begun = time.perf_counter()
    staged = staging.with_name(f"{staging.name}.{uuid.uuid4().hex[:8]}")
    for folder in PUBLISHED:
        (staged / folder).mkdir(parents=True)
    output = staged / "notebooks" / source.name
    parameters = {**parameters, "RUN_DIR": str(staged)}
    failure = execute(source, parameters, output, timeout, **how)
    return staged, failure, time.perf_counter() - begun


def execute(
    source: Path,
    parameters: dict[str, object],
    output: Path,
    timeout: int | None = None,
    gpu: str | None = None,
) -> Failure | None:
    """Execute a notebook into ``output``; None if it ran to its end.

    Else where and why it stopped: a traceback or a sentence, whose last line
    says most. ``timeout`` is in seconds, for each cell; ``gpu`` the only one
    that its kernel sees. The kernel's working directory is the project's
    root. ``output`` is written cell by cell, so it must lie where nobody
    takes it for whole.
    """
    # Drawn into the notebook, whatever the caller's MPLBACKEND says.
    env = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    env |= {"CUDA_VISIBLE_DEVICES": gpu} if gpu else {}

    class ThisPython(AsyncKernelManager):
        """Starts this interpreter, whatever else is called ``python3``."""

        kernel_spec = KernelSpec(
            argv=make_ipkernel_cmd(), language="python", env=env
        )

        async def _async_launch_kernel(self, command, **more):
            # Not by papermill's cwd, which is that of all threads.
            more["cwd"] = str(ROOT)
            await super()._async_launch_kernel(command, **more)
            KERNELS[output] = self.provisioner.process

    logging.getLogger("papermill").disabled = True  # all is reported
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
            execution_timeout=timeout,
            coalesce_streams=True,
            # All is written by then; TensorFlow takes seconds to say goodbye.
            shutdown_kernel="immediate",
            # The kernel's remarks about its transport and its shutdown.
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
        )
        return None
    except PapermillExecutionError as error:
        text = strip_color("\n".join(error.traceback))
    except DeadKernelError:
        text = f"its kernel died: {_death(KERNELS[output].returncode)}"
    except CellTimeoutError:
        # What waited for the cell would complain at the end.
        logging.getLogger("asyncio").disabled = True
        text = f"it took longer than the {timeout} s of --timeout"
    except OSError as error:
        # A disk that is full, most often: papermill cannot write.
        text = f"{source.name} could not be read or written: {error}"
    except Exception:
        text = traceback.format_exc()
    finally:
        KERNELS.pop(output, None)
    try:
        cells = nbformat.read(output, as_version=4).cells
        codes = [c.metadata.papermill for c in cells if c.cell_type == "code"]
    except Exception:  # half written
        return None, text
    started = [c for c in codes if c.start_time is not None]
    # One is papermill's, with the parameters.
    return len(started) - 1 if started else None, text


def kill_below(folder: Path) -> None:
    """Kill this process' kernels that write below a folder, and theirs."""
    # What waits for the kernels would complain of their death.
    logging.getLogger("asyncio").disabled = True
    for output, kernel in list(KERNELS.items()):
        if output.is_relative_to(folder):
            family = [kernel]
            with suppress(psutil.Error):
                family += psutil.Process(kernel.pid).children(True)
            for process in reversed(family):
                with suppress(psutil.Error):  # it has ended
                    process.kill()


def _death(status: int | None) -> str:
    """What the exit status of a process that died by itself tells."""
    if status == -9:
        return (
            f"{KILLED}, most often because memory ran out; try a"
            " smaller batch, image size or number of jobs"
        )
    if status is not None and status < 0:
        name = signal.Signals(-status).name
        return f"{name}, most often a crash in a library's compiled code"
    return f"the process ended itself with exit status {status}"


SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")  # Windows lacks the last
    if hasattr(signal, name)
]


class Interrupted(KeyboardInterrupt):
    """The signal ``args[0]`` came."""


@contextmanager
def stop_signals() -> Iterator[list[signal.Signals]]:
    """Turn the first of SIGNALS into ``Interrupted``; yields those that came.

    The list tells of an exception that got lost in a callback.
    """
    came: list[signal.Signals] = []

    def stop(number: int, frame: FrameType | None) -> None:
        came.append(signal.Signals(number))
        if len(came) == 1:
            raise Interrupted(came[0])

    before = {}
    for number in SIGNALS:
        # Under nohup a hang-up is to be ignored.
        if (handler := signal.getsignal(number)) != signal.SIG_IGN:
            before[number] = handler
            signal.signal(number, stop)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
