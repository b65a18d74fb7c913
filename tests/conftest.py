"""What several test files share."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

PARAMETERS = """PROFILE = "quick"
SEEDS = None
RUN_DIR = None"""


@pytest.fixture
def write_notebook(tmp_path) -> Callable[..., Path]:
    """Write a small notebook into ``tmp_path/"notebooks"``.

    Its first cells are a title and the parameters; ``sources`` are its
    other code cells, ``needs`` the numbers of notebooks it needs.
    """

    def write(
        name: str,
        *sources: str,
        needs: tuple[str, ...] = (),
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
        nb.metadata.kernelspec = {"name": "python3", "display_name": "Python"}
        if needs:
            nb.metadata.workbook = {"needs": list(needs)}
        path = tmp_path / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        nbformat.write(nb, path)
        return path

    return write
