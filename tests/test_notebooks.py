"""Every notebook by plain papermill, with all its exercises answered.

Two that use all trainers run with JAX, too. All of them do so with
``KERAS_BACKEND=jax pytest tests/test_notebooks.py``.
"""

import re
import subprocess
import sys

import nbformat
import pandas as pd
import pytest
from exercises import answered, append_answers
from image_files import draw

from helpers.paths import NOTEBOOKS_DIR
from helpers.runner import blemishes, clean, read_notebooks
from helpers.runner.notebooks import select

NOTEBOOKS = read_notebooks(NOTEBOOKS_DIR)
COUNTS = {"two": (15, 40), "equal": (20, 20, 20)}

pytestmark = pytest.mark.notebook


@pytest.fixture
def papermill(tmp_path):
    """Execute a notebook in the smoke profile, in a folder of its own.

    A function that takes the notebook's number and more parameters, and gives
    what papermill wrote. Tables are in the folder's ``run/results``.
    """

    def execute(number, **parameters):
        (notebook,) = select(NOTEBOOKS, [number])
        nb = nbformat.read(notebook.path, as_version=4)
        append_answers(nb)
        nbformat.write(nb, tmp_path / "in.ipynb")
        command = [sys.executable, "-m", "papermill", "--no-progress-bar"]
        command += ["in.ipynb", "out.ipynb"]
        given = {"PROFILE": "smoke", "RUN_DIR": "run"} | parameters
        for parameter, value in given.items():
            command += ["-p", parameter, value]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return nbformat.read(tmp_path / "out.ipynb", as_version=4)

    return execute


def printed(nb):
    outputs = [o for cell in nb.cells for o in cell.get("outputs", [])]
    return "".join(output.get("text", "") for output in outputs)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda n: n.name)
def test_notebook_runs_and_its_exercises_are_checked(notebook, papermill):
    nb = papermill(notebook.number)
    assert "widgets" not in nb.metadata, "a run without a reader has sliders"
    nb = clean(nb)
    for expected, said in answered(nb):
        assert re.match(expected, said), said
    assert list(blemishes(nb)) == []
    assert notebook in read_notebooks(NOTEBOOKS_DIR)  # as it was


@pytest.mark.jax
@pytest.mark.parametrize("number", ["05", "A1"])
def test_notebook_runs_with_jax(number, papermill, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    nb = clean(papermill(number))
    assert ", jax " in printed(nb)
    assert list(blemishes(nb)) == []


@pytest.mark.parametrize("name", COUNTS)
def test_all_methods_take_two_classes_and_equal_ones(
    name, papermill, tmp_path
):
    """Head, medium and tail are columns only where there are thirds."""
    for c, count in enumerate(COUNTS[name]):
        for k in range(count):
            draw(tmp_path / name / f"class {c}/{k:02d}.png", 100 * c + k, 32)
    papermill("10", DATASET=name, DATA_DIR=str(tmp_path))
    means = pd.read_csv(tmp_path / f"run/results/10_{name}_means.csv")
    scores = {"macro_f1", "balanced_accuracy", "accuracy"}
    assert set(means) == {"split", "method", *scores}


def test_a_reader_looks_at_images_with_a_table_of_labels(papermill, tmp_path):
    """A class of two patients is left out by name, and the rest goes on."""
    rows, place = ["image,patient_id,dx"], tmp_path / "table"
    for c, count in enumerate((20, 16, 4)):
        for k in range(count):
            draw(place / f"part {k % 2}/{c}_{k:02d}.png", 100 * c + k, 32)
            rows.append(f"{c}_{k:02d},{c}{k // 2},class {c}")
    (place / "labels.csv").write_text("\n".join(rows))
    own = {"DATASET": "table", "DATA_DIR": str(tmp_path)}
    said = printed(papermill("01", GROUPS="patient_id", **own))
    assert "(files: 'image', labels: 'dx')" in said
    assert "20 sources by 'patient_id'" in said
    assert "class 'class 2' has 2 sources, too few for 3 sets" in said
    assert "fewer than 3 sources are left out: 'class 2' (2)." in said
    assert "36 images come from 18 sources" in said
