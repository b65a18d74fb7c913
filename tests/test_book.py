"""The book as it is written; the browser tests look at its pages."""

import nbformat
import pytest

from helpers import book
from helpers.paths import NOTEBOOKS_DIR, ROOT
from helpers.runner import Refused

pytestmark = pytest.mark.filterwarnings("ignore:.*Check CHANGES for Sphinx")


def test_the_newest_run_of_all_notebooks_as_they_are(write_notebook, tmp_path):
    there, runs = tmp_path / "notebooks", tmp_path / "runs"
    names = ["01_a", "02_b"]

    def run(folder, names=names, source="1"):
        place = runs / folder / "notebooks"
        for name in names:
            path = write_notebook(place, name, source)
            nb = nbformat.read(path, as_version=4)
            cell = nbformat.v4.new_code_cell("RUN_DIR = 1")
            cell.metadata.tags = ["injected-parameters"]
            nb.cells.insert(2, cell)
            nbformat.write(nb, path)
        return place

    for name in names:
        write_notebook(there, name, "1")
    assert book.newest_run(there, runs) is None
    run("20260101-000000-quick")
    newest = run("20260102-000000-full")
    run("20260103-000000-smoke")
    run("20260104-000000-quick", names[:1])
    run("20260105-000000-quick", source="2")
    assert book.newest_run(there, runs) == newest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[03](03_x.ipynb), [a](b.md)", "[03](03_x.ipynb), a"),
        ("[03_x_y](03_x.ipynb#the-end)", "[03 x y](03_x.ipynb#the-end)"),
        ("[../notebooks/README.md](../notebooks/README.md)", "[](guide.md)"),
        ("[doi](https://doi.org/1) ![f](f.png)", None),
        ("[below](#here)", "below"),
    ],
)
def test_links_stay_in_the_book(text, expected):
    pages = {NOTEBOOKS_DIR / "03_x.ipynb": "03_x.ipynb"}
    pages[NOTEBOOKS_DIR / "README.md"] = "guide.md"
    linked = book.linked(text, ROOT / "notebooks", pages)
    assert linked == (text if expected is None else expected)


def test_a_formula_that_cannot_be_written_is_refused(write_notebook, tmp_path):
    """By the notebook's name; the earlier book stays."""
    there, made = tmp_path / "notebooks", tmp_path / "book"
    path = write_notebook(there, "00_a", "1")
    index = book.build(there, made)
    assert "<math" not in (made / "00_a.html").read_text()
    nb = nbformat.read(path, as_version=4)
    nb.cells[0].source = r"# a $\big(\frac{1}{2}\big)$"
    nbformat.write(nb, path)
    book.build(there, made)
    assert "<mfrac>" in (made / "00_a.html").read_text()
    nb.cells[0].source = r"# a $\wrong$"
    nbformat.write(nb, path)
    with pytest.raises(Refused, match=r"(?s)00_a.*formula \\wrong"):
        book.build(there, made)
    assert index.is_file()
    assert "<mfrac>" in (made / "00_a.html").read_text()


def test_a_widget_and_a_folder_s_name_are_left_out(write_notebook, tmp_path):
    path = write_notebook(tmp_path / "notebooks", "00_a", "1")
    nb = nbformat.read(path, as_version=4)
    given = nbformat.v4.new_code_cell("SEEDS = 7\nRUN_DIR = '/elsewhere'")
    given.metadata.tags = ["injected-parameters"]
    nb.cells.insert(2, given)
    data = {"text/plain": "HBox(...)", book.WIDGET: {"model_id": "1"}}
    output = nbformat.v4.new_output("display_data", data)
    nb.cells[-1].outputs = [output]
    nbformat.write(nb, path)
    book.build(tmp_path / "notebooks", tmp_path / "book")
    text = (tmp_path / "book/00_a.html").read_text()
    assert "7" in text and "SEEDS" in text
    assert "HBox" not in text and "elsewhere" not in text


def test_the_command_line_says_where_there_are_no_notebooks(tmp_path, capsys):
    assert book.main([str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
