"""What every committed notebook keeps to, read without running it."""

import ast
import copy
import re
import statistics

import nbformat
import pytest
from exercises import read_exercises
from ipykernel.ipkernel import IPythonKernel

from helpers import session
from helpers.paths import NOTEBOOKS_DIR
from helpers.runner import blemishes, clean, read_notebooks

BOOK = read_notebooks(NOTEBOOKS_DIR)
PLACES = {"PROFILE": "quick", "DATA_DIR": None, "RUN_DIR": None}
LAST = ["What we saw", "Exercises", "Further reading"]

EXERCISES = 2  # in each notebook at least


@pytest.fixture(
    params=sorted(NOTEBOOKS_DIR.glob("*.ipynb")), ids=lambda p: p.stem
)
def path(request):
    return request.param


@pytest.fixture
def nb(path):
    return nbformat.read(path, as_version=4)


@pytest.fixture
def code(nb):
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def headings(nb) -> list[tuple[int, str]]:
    """Level and text of each heading, without a number in front."""
    text = "\n\n".join(c.source for c in nb.cells if c.cell_type == "markdown")
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    found = re.findall(r"^(#+)\s+(?:\d+\.?\s+)?(.+?)\s*$", text, flags=re.M)
    return [(len(marks), words) for marks, words in found]


def test_the_spine_is_there_and_the_runner_takes_it():
    assert [n.number for n in BOOK][:4] == ["00", "01", "02", "03"]


def test_file_is_small_and_as_the_runner_leaves_it(path, nb):
    """Executed from the top, the usual kernel, nothing of papermill."""
    nbformat.validate(nb)
    ids = [cell.id for cell in nb.cells]
    assert len(set(ids)) == len(ids)
    assert path.stat().st_size < 1.5e6
    assert clean(copy.deepcopy(nb)) == nb
    # All that JupyterLab writes there, else it marks an opened notebook.
    language = nb.metadata.language_info
    assert language.keys() == IPythonKernel.language_info.keys()
    assert list(blemishes(nb)) == []


def test_parameters_are_the_usual_ones(path, code):
    """In one cell, before any other code; the runner reads all of them.

    All are annotated, and so read by ``session.settings``, but for the
    profile and the places.
    """
    (notebook,) = (n for n in BOOK if n.path == path)
    tags = [cell.metadata.get("tags", []) for cell in code]
    assert [i for i, t in enumerate(tags) if "parameters" in t] == [0]
    lines = ast.parse(code[0].source).body
    kinds = [line for line in lines if isinstance(line, ast.AnnAssign)]
    plain = [line for line in lines if isinstance(line, ast.Assign)]
    assert [line.targets[0].id for line in plain] == [*PLACES]
    for name, value in PLACES.items():
        assert notebook.parameters[name] == value
    kinds = {line.target.id for line in kinds}
    # The scorecard adds up what is in print.
    assert {"DATASET", "SEEDS"} <= kinds or notebook.number == "11"
    assert kinds | PLACES.keys() == notebook.parameters.keys()


def test_no_name_is_taken_for_a_misspelt_parameter(path, code):
    """Run again, `session.settings` finds all names of the notebook."""
    (notebook,) = (n for n in BOOK if n.path == path)
    module = ast.parse("\n".join(cell.source for cell in code))
    names = [n.id for n in ast.walk(module) if isinstance(n, ast.Name)]
    given = dict.fromkeys([*names, "__annotations__"]) | notebook.parameters
    given["__annotations__"] = dict.fromkeys(
        notebook.parameters.keys() - PLACES.keys(), object
    )
    session.settings(given)


def test_tables_that_are_returned_are_shown(code):
    """In mid-cell, their call would show nothing."""
    returned = {"results.show", "workspace.provenance"}
    for cell in code:
        for statement in ast.parse(cell.source).body[:-1]:
            if isinstance(statement, ast.Expr):
                call = ast.unparse(statement).partition("(")[0]
                assert call not in returned, cell.source


def test_one_title_first_and_the_last_sections(nb):
    found = headings(nb)
    assert [level for level, _ in found].count(1) == 1
    assert nb.cells[0].source.startswith("# ")
    assert [words for level, words in found if level == 2][-3:] == LAST


def test_setup_comes_first_and_imports_few_modules(code):
    """The session has to be there before anything imports Keras."""
    module = ast.parse("\n".join(cell.source for cell in code))
    imports = [
        ast.unparse(node)
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom)
        and node.module.split(".")[0] == "helpers"
    ]
    assert imports[0] == "from helpers import session"
    assert len(imports) <= 8
    begin = [i for i, c in enumerate(code) if "session.begin(" in c.source]
    assert begin == [1]
    assert code[1].source.startswith(
        "from helpers import session\n\nworkspace = session.begin("
    )


def test_lengths_are_reported(path, nb, code):
    """They are aims, not caps; ``pytest -rP`` shows them."""
    lines = sorted(len(re.findall(r"\S.*", cell.source)) for cell in code)
    texts = [c.source for c in nb.cells if c.cell_type == "markdown"]
    words = len(" ".join(texts).split())
    print(
        f"{path.stem}: {len(code)} code cells, median of"
        f" {statistics.median(lines):g} lines, 90th percentile"
        f" {lines[int(0.9 * (len(lines) - 1))]}; {words} words;"
        f" {words / 200 + sum(lines) / 20:.0f} minutes to read"
    )


def test_exercises_have_checks_and_collapsed_solutions(path, nb):
    exercises = read_exercises(nb)
    names = [exercise.name for exercise in exercises]
    assert sorted(set(names)) == names
    for exercise in exercises:
        ast.parse(exercise.wrong)
        ast.parse(exercise.solution)
        assert exercise.wrong.strip() and "check." not in exercise.solution
    assert len(exercises) >= EXERCISES


def test_every_figure_is_shown(code):
    """A figure saved inside a loop or an if shows only by ``display``."""
    for cell in code:
        assert not re.search(r"^[ \t]+figures\.save\(", cell.source, re.M)
