"""What several test files share."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from helpers.runner.sharing import KERNEL

PARAMETERS = """PROFILE = "quick"
SEEDS = None
RUN_DIR = None"""


@pytest.fixture(scope="session")
def write_notebook() -> Callable[..., Path]:
    """Write a small notebook into a folder.

    Its first cells are a title and the parameters; ``sources`` are its
    other code cells, ``needs`` the numbers of notebooks it needs,
    ``datasets`` the data sets that it takes.
    """

    def write(
        folder: Path,
        name: str,
        *sources: str,
        needs: tuple[str, ...] = (),
        datasets: tuple[str, ...] = (),
        parameters: str = PARAMETERS,
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
        asked = {"needs": list(needs), "datasets": list(datasets)}
        if any(asked.values()):
            nb.metadata.workbook = asked
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.ipynb"
        nbformat.write(nb, path)
        return path

    return write
