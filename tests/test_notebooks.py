"""Every notebook by plain papermill, with all its exercises answered.

Two that use all trainers run with JAX, too. All of them do so with
``KERAS_BACKEND=jax pytest tests/test_notebooks.py``.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import nbformat
import pandas as pd
import pytest
from exercises import answered, append_answers
from image_files import draw

from helpers.paths import NOTEBOOKS_DIR
from helpers.runner import blemishes, clean, read_notebooks

NOTEBOOKS = read_notebooks(NOTEBOOKS_DIR)
COUNTS = {"two": (15, 40), "equal": (20, 20, 20)}
WITH_JAX = {f"{n.name}, JAX": n for n in NOTEBOOKS if n.number in ("05", "A1")}

pytestmark = pytest.mark.notebook


def papermill(notebook, place, name, backend=None, **parameters):
    """Execute in the smoke profile, from ``place``; all it may write is there.

    Returns the executed notebook's path.
    """
    env = os.environ | ({"KERAS_BACKEND": backend} if backend else {})
    nb = nbformat.read(notebook.path, as_version=4)
    append_answers(nb)
    nbformat.write(nb, place / f"{name}.ipynb")
    command = [sys.executable, "-m", "papermill", "--no-progress-bar"]
    command += [f"{name}.ipynb", f"{name}_out.ipynb"]
    given = {"PROFILE": "smoke", "RUN_DIR": f"run_{name}"} | parameters
    for parameter, value in given.items():
        command += ["-p", parameter, value]
    done = subprocess.run(
        command, cwd=place, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return place / f"{name}_out.ipynb"


@pytest.fixture(scope="module")
def runs(tmp_path_factory, request):
    """The runs that are asked for, two at a time: a future by name."""
    place = tmp_path_factory.mktemp("papermill")
    todo = {}
    (methods_of_all,) = (n for n in NOTEBOOKS if n.number == "10")
    for name, counts in COUNTS.items():
        for c, count in enumerate(counts):
            for k in range(count):
                draw(place / name / f"class {c}/{k:02d}.png", 100 * c + k, 32)
        own = {"DATASET": name, "DATA_DIR": str(place)}
        todo[name] = (methods_of_all, own)
    rows = ["image,patient_id,dx"]
    for c, count in enumerate((20, 16, 4)):
        for k in range(count):
            draw(
                place / f"table/part {k % 2}/{c}_{k:02d}.png", 100 * c + k, 32
            )
            rows.append(f"{c}_{k:02d},{c}{k // 2},class {c}")
    (place / "table/labels.csv").write_text("\n".join(rows))
    (eda,) = (n for n in NOTEBOOKS if n.number == "01")
    own = {"DATASET": "table", "DATA_DIR": str(place)}
    todo["table"] = (eda, own | {"GROUPS": "patient_id"})
    todo |= {name: (n, {"backend": "jax"}) for name, n in WITH_JAX.items()}
    # The long ones first.
    todo |= {n.name: (n, {}) for n in reversed(NOTEBOOKS)}
    specs = [getattr(i, "callspec", None) for i in request.session.items]
    asked = {spec.id for spec in specs if spec}
    with ThreadPoolExecutor(2) as pool:
        yield {
            name: pool.submit(papermill, notebook, place, name, **given)
            for name, (notebook, given) in todo.items()
            if name in asked
        }
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda n: n.name)
def test_notebook_runs_and_its_exercises_are_checked(notebook, runs):
    path = runs[notebook.name].result()
    nb = nbformat.read(path, as_version=4)
    assert "widgets" not in nb.metadata, "a run without a reader has sliders"
    nb = clean(nb)
    for expected, said in answered(nb):
        assert re.match(expected, said), said
    assert list(blemishes(nb)) == []
    assert notebook in read_notebooks(NOTEBOOKS_DIR)  # as it was


@pytest.mark.jax
@pytest.mark.parametrize("name", WITH_JAX)
def test_notebook_runs_with_jax(name, runs):
    nb = clean(nbformat.read(runs[name].result(), as_version=4))
    assert any(
        ", jax " in output.get("text", "")
        for cell in nb.cells
        for output in cell.get("outputs", [])
    )
    assert list(blemishes(nb)) == []


@pytest.mark.parametrize("name", COUNTS)
def test_all_methods_take_two_classes_and_equal_ones(runs, name):
    """Head, medium and tail are columns only where there are thirds."""
    place = runs[name].result().parent
    means = pd.read_csv(place / f"run_{name}/results/10_{name}_means.csv")
    scores = {"macro_f1", "balanced_accuracy", "accuracy"}
    assert set(means) == {"split", "method", *scores}


@pytest.mark.parametrize("name", ["table"])
def test_a_reader_looks_at_images_with_a_table_of_labels(runs, name):
    """A class of two patients is left out by name, and the rest goes on."""
    nb = nbformat.read(runs[name].result(), as_version=4)
    said = "".join(
        o.get("text", "") for c in nb.cells for o in c.get("outputs", [])
    )
    assert "(files: 'image', labels: 'dx')" in said
    assert "20 sources by 'patient_id'" in said
    assert "class 'class 2' has 2 sources, too few for 3 sets" in said
    assert "fewer than 3 sources are left out: 'class 2' (2)." in said
    assert "36 images come from 18 sources" in said
