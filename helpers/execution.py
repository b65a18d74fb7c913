"""Execute one notebook through papermill, with the kernel we are sure of."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import nbformat
import papermill
from jupyter_client.manager import KernelManager
from papermill.exceptions import PapermillExecutionError, strip_color

from helpers.manifest import Notebook, Refused, parameters_cell
from helpers.paths import ROOT

KERNEL = "python3"
INJECTED = "injected-parameters"


@dataclass(frozen=True)
class Failure:
    """Where and why a notebook stopped.

    ``cell`` counts the source's code cells from 1; 0 is before the first.
    """

    cell: int
    error: str
    traceback: str


@contextmanager
def kernel_environment() -> Iterator[None]:
    """Environment in which a kernel starts: this interpreter's, and quiet.

    A kernel specification of the same name in the user's folders would
    otherwise be taken for ours; MPLBACKEND would keep the figures out of
    the notebook.
    """
    own = str(Path(sys.prefix, "share", "jupyter"))
    path = os.pathsep.join(filter(None, [own, os.environ.get("JUPYTER_PATH")]))
    level = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3")
    with mock.patch.dict(os.environ):
        os.environ.pop("MPLBACKEND", None)
        os.environ.update(
            JUPYTER_PATH=path,
            JUPYTER_PREFER_ENV_PATH="1",
            TF_CPP_MIN_LOG_LEVEL=level,
        )
        yield


def check_kernel() -> None:
    """Raise ``Refused`` unless the kernel runs on this very interpreter."""
    with kernel_environment():
        manager = KernelManager(kernel_name=KERNEL)
        command = Path(manager.format_kernel_cmd()[0])
    ours = Path(sys.executable)
    if (command.parent, command.resolve()) != (ours.parent, ours.resolve()):
        raise Refused(
            f"the kernel {KERNEL} would run {command}, not {ours}; install"
            " requirements.txt into this environment"
        )


def execute(
    notebook: Notebook,
    parameters: dict[str, object],
    output: Path,
    bar: dict[str, object] | bool = False,
) -> Failure | None:
    """Execute a notebook into ``output``; None if it ran to its end.

    The kernel's working directory is the project's root. ``output`` is
    written cell by cell, so it must lie where nobody takes it for whole;
    ``bar`` holds tqdm's options for a progress bar over the cells.
    """
    try:
        with kernel_environment():
            papermill.execute_notebook(
                _literally(notebook.path),
                _literally(output),
                parameters=parameters,
                kernel_name=KERNEL,
                language="python",
                progress_bar=bar,
                cwd=ROOT,
                coalesce_streams=True,
                # The kernel's remarks about its transport and its shutdown.
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
            )
    except PapermillExecutionError as error:
        source = nbformat.read(notebook.path, as_version=4)
        before = source.cells[: _source_index(source, error.cell_index) + 1]
        return Failure(
            sum(cell.cell_type == "code" for cell in before),
            f"{error.ename}: {error.evalue}",
            strip_color("\n".join(error.traceback)),
        )
    except Exception as error:
        # The kernel died or never answered: there is no traceback from it.
        return Failure(
            _last_started(output),
            f"{type(error).__name__}: {error}",
            traceback.format_exc(),
        )
    return None


def _literally(path: Path) -> str:
    """A path that papermill, which fills in ``{...}``, leaves as it is."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _source_index(source: nbformat.NotebookNode, index: int) -> int:
    """A cell's place before papermill put its parameters cell in."""
    return index - (index > parameters_cell(source))


def _last_started(output: Path) -> int:
    """How many code cells of a stopped notebook had started."""
    if not output.is_file():
        return 0
    nb = nbformat.read(output, as_version=4)
    return sum(
        cell.cell_type == "code"
        and INJECTED not in cell.metadata.tags
        and cell.metadata.papermill.start_time is not None
        for cell in nb.cells
    )
