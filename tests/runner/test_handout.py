"""Notebooks to hand out hold no answers, and run as they are."""

import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from exercises import read_exercises

from helpers import paths
from helpers.check import marks
from helpers.paths import NOTEBOOKS_DIR
from helpers.run import main
from helpers.runner import Refused, write_handouts

SOLVED = """<details><summary>Solution</summary>

Twice two.

```python
four = 4
```
</details>"""
STUB = 'four = ...\ncheck.exercise("1", four, 4)'


@pytest.fixture(scope="module")
def handed_out(tmp_path_factory):
    return write_handouts(tmp_path_factory.mktemp("handout"))


def test_the_handouts_hold_no_answers(handed_out):
    assert {p.name for p in handed_out} == {
        p.name for p in NOTEBOOKS_DIR.glob("*.ipynb")
    }
    for path in handed_out:
        nb = nbformat.read(path, as_version=4)
        nbformat.validate(nb)
        full = nbformat.read(NOTEBOOKS_DIR / path.name, as_version=4)
        text = "\n".join(cell.source for cell in nb.cells)
        all_text = "\n".join(cell.source for cell in full.cells)
        folded = re.findall(r"</summary>(.*?)</details>", all_text, re.S)
        assert folded
        assert not [answer for answer in folded if answer.strip() in text]
        assert "Solution" not in text
        stubs = [exercise.stub for exercise in read_exercises(full)]
        assert all(stub in text for stub in stubs)
        for cell in nb.cells:
            assert "wrong" not in cell.metadata
            assert not cell.get("outputs")
            assert not cell.get("execution_count")
            assert ("exercise" in cell.metadata.get("tags", [])) == (
                cell.source in stubs
            )


@pytest.mark.notebook
def test_a_handout_runs_with_nothing_attempted(handed_out):
    (path,) = (p for p in handed_out if p.name == "11_scorecard.ipynb")
    done = path.parent / "executed" / path.name
    done.parent.mkdir()
    command = [sys.executable, "-m", "papermill", "--no-progress-bar"]
    command += [path.name, str(done), "-p", "PROFILE", "smoke"]
    command += ["-p", "RUN_DIR", str(path.parent / "run")]
    subprocess.run(command, cwd=path.parent, check=True, capture_output=True)
    table = marks(done.parent)
    exercises = read_exercises(nbformat.read(NOTEBOOKS_DIR / path.name, 4))
    assert list(table) == [*(e.name for e in exercises), "correct"]
    assert set(table.drop(columns="correct").stack()) == {"not attempted"}


@pytest.fixture
def book(write):
    path = write("01_a", STUB)
    nb = nbformat.read(path, as_version=4)
    nb.cells[-1].metadata.update(tags=["exercise"], wrong="four = 5")
    new = nbformat.v4.new_markdown_cell
    before = f"**2.** Think.\n\n{SOLVED}\n\n**3.** Again.\n\n{SOLVED}"
    other = "<details><summary>More</summary>\n\nTo read.\n</details>"
    nb.cells += [new(SOLVED), new(before), new(other)]
    nbformat.write(nb, path)


def test_what_goes_and_what_stays(book, tmp_path, capsys):
    """Questions and other folded text stay; an error ends no run."""
    folder = tmp_path / "out"
    assert main(["--handout", str(folder)]) == 0
    assert "1 notebooks without solutions in" in capsys.readouterr().out
    nb = nbformat.read(folder / "01_a.ipynb", as_version=4)
    *_, stub, questions, other = nb.cells
    assert stub.source == STUB
    assert stub.metadata == {"tags": ["exercise", "raises-exception"]}
    assert questions.source == "**2.** Think.\n\n**3.** Again."
    assert "To read." in other.source


def test_nobodys_work_is_overwritten(book, tmp_path):
    folder = tmp_path / "out"
    (path,) = write_handouts(folder)
    assert write_handouts(folder) == [path]
    nb = nbformat.read(path, as_version=4)
    output = nbformat.v4.new_output("stream", text="4")
    nb.cells[-3].outputs = [output]
    nbformat.write(nb, path)
    with pytest.raises(Refused, match="01_a.ipynb has been run; move it"):
        write_handouts(folder)
    with pytest.raises(Refused, match="notebooks holds the notebooks"):
        write_handouts(paths.NOTEBOOKS_DIR)
    assert main(["--handout", str(paths.NOTEBOOKS_DIR)]) == 2
    with pytest.raises(SystemExit):
        main(["--handout", str(folder), "--profile", "smoke"])


def test_marks_of_a_class(tmp_path):
    """Correct, not yet, an error, not reached; what others print is nothing.

    A notebook of other exercises leaves the columns empty.
    """
    new = nbformat.v4

    def hand_in(name, *cells):
        nb = new.new_notebook()
        for exercise, *outputs in cells:
            quoted = f'"{exercise}"' if exercise == "1" else repr(exercise)
            source = f"check.exercise(\n    {quoted}, ..., 4)"
            nb.cells.append(new.new_code_cell(source, outputs=outputs))
        said = new.new_output("stream", text="Exercise 2: correct.\n")
        nb.cells.append(new.new_code_cell("print(1)", outputs=[said]))
        nbformat.write(nb, tmp_path / f"{name}.ipynb")

    def said(text):
        return new.new_output("stream", text=text + ".\n")

    raised = new.new_output(
        "error", ename="NameError", evalue="", traceback=[]
    )
    right, wrong = "Exercise 1: correct", "Exercise 1: not yet, because of 1"
    hand_in("anna", ("1", said("I try"), said(right)), ("2", raised))
    hand_in("ben", ("1", said(wrong)), ("2",))
    hand_in("cleo", ("3", said("Exercise 3: not attempted")))
    table = marks(tmp_path)
    assert table.to_dict("index") == {
        "anna.ipynb": {"1": "correct", "2": "error", "3": "", "correct": 1},
        "ben.ipynb": {"1": "not yet", "2": "not run", "3": "", "correct": 0},
        "cleo.ipynb": {"1": "", "2": "", "3": "not attempted", "correct": 0},
    }
    copies = tmp_path / ".ipynb_checkpoints"
    shutil.copytree(tmp_path, copies)
    assert [*marks(tmp_path).index] == [*table.index]
    with pytest.raises(FileNotFoundError, match="no notebook with exercises"):
        marks(tmp_path / "none")
    (tmp_path / "dora.ipynb").write_text("")
    command = [sys.executable, "-m", "helpers.check", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    told = f"error: {tmp_path / 'dora.ipynb'} is no notebook; take it out\n"
    assert done.stderr == told
