"""Every notebook runs to its end in the smoke profile, from anywhere."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers.paths import NOTEBOOKS_DIR
from helpers.runner import blemishes, clean, read_notebooks

NOTEBOOKS = read_notebooks(NOTEBOOKS_DIR)
COUNTS = {"two": (15, 40), "equal": (20, 20, 20)}

pytestmark = pytest.mark.notebook


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with all the runs, made two at a time."""
    base = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    for name, counts in COUNTS.items():
        for c, count in enumerate(counts):
            folder = base / name / f"class {c}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(200, size=(32, 32, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    runner = [sys.executable, "-m", "helpers.run", "--profile=smoke"]
    numbers = [notebook.number for notebook in NOTEBOOKS]
    plain = [sys.executable, "-m", "papermill", str(NOTEBOOKS[0].path)]
    plain += ["out.ipynb", "-p", "PROFILE", "smoke", "-p", "RUN_DIR", "plain"]
    commands = [
        [*runner, f"--only={','.join(numbers[::2])}", "--run-dir=run0"],
        [*runner, f"--only={','.join(numbers[1::2])}", "--run-dir=run1"],
        plain,
    ]
    for name in COUNTS:
        settings = [f"--set=DATASET={name}", f"--set=DATA_DIR={base}"]
        place = f"--run-dir=run_{name}"
        commands.append([*runner, "--only=A2", *settings, place])
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(lambda c: subprocess.run(c, cwd=base), commands):
            pass
    return base


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda n: n.name)
def test_notebook_runs(notebook, runs):
    run = runs / f"run{NOTEBOOKS.index(notebook) % 2}"
    state = json.loads((run / "state.json").read_text())
    assert notebook.name in state["done"], (run / "log.txt").read_text()
    now = read_notebooks(NOTEBOOKS_DIR)
    assert notebook in now  # its source is as it was
    executed = run / "notebooks" / notebook.path.name
    nb = clean(nbformat.read(executed, as_version=4))
    assert list(blemishes(nb)) == []


@pytest.mark.parametrize("name", COUNTS)
def test_all_methods_take_two_classes_and_equal_ones(runs, name):
    """Head, medium and tail are columns only where there are thirds."""
    results = runs / f"run_{name}" / "results"
    log = (results.parent / "log.txt").read_text()
    assert results.is_dir(), log
    means = pd.read_csv(results / f"A2_{name}_means.csv")
    scores = {"macro_f1", "balanced_accuracy", "accuracy"}
    assert set(means) == {"split", "method", *scores}


def test_plain_papermill_runs_from_another_directory(runs):
    nb = nbformat.read(runs / "out.ipynb", as_version=4)
    assert all(
        cell.metadata.papermill.status == "completed" for cell in nb.cells
    )
