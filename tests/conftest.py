"""What several test files share."""

import signal
import traceback
from collections.abc import Callable
from pathlib import Path

import nbformat
import papermill
import pytest

from helpers.runner import batch
from helpers.runner.notebooks import KERNEL

PARAMETERS = """PROFILE = "quick"
SEEDS = None
RUN_DIR = None"""


# Of a process in the background a shell makes it ignored, by children, too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With ``-n 2``, a file's tests stay together: they share fixtures.

    Those that execute a notebook each go to whichever process is free.
    """
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            alone = "test_notebooks.py" in nodeid
            return nodeid if alone else super()._split_scope(nodeid)

    return Scheduling(config, log)


@pytest.fixture(scope="session")
def write_notebook() -> Callable[..., Path]:
    """Write a small notebook into a folder.

    Its first cells are a title and the parameters; ``sources`` are its
    other code cells, ``workbook`` the metadata that the runner reads.
    """

    def write(
        folder: Path,
        name: str,
        *sources: str,
        parameters: str = PARAMETERS,
        **workbook: list[str],
    ) -> Path:
        new = nbformat.v4
        cells = [
            new.new_markdown_cell(f"# {name}", id="title"),
            new.new_code_cell(
                parameters, id="parameters", metadata={"tags": ["parameters"]}
            ),
        ]
        for number, source in enumerate(sources):
            cells.append(new.new_code_cell(source, id=f"cell-{number}"))
        nb = new.new_notebook(cells=cells)
        nb.metadata.kernelspec = KERNEL
        nb.metadata.workbook = workbook
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.ipynb"
        nbformat.write(nb, path)
        return path

    return write


def execute(source, parameters, output, timeout=None, **how):
    """Execute a notebook in this process: no time, and no outputs."""
    nb = papermill.execute_notebook(
        source, output, parameters, prepare_only=True, language="python"
    )
    codes = [c.source for c in nb.cells if c.cell_type == "code"]
    names = {}
    for number, code in enumerate(codes):
        try:
            exec(code, names)
        except Exception:
            return number, traceback.format_exc()
    return None


@pytest.fixture
def no_kernel(monkeypatch):
    """Execute notebooks without kernels; the function that does it."""
    monkeypatch.setattr(batch, "execute", execute)
    return execute
