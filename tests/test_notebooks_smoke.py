"""Every notebook runs to its end in the smoke profile, from anywhere."""

import os
import subprocess
import sys

import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers.paths import NOTEBOOKS_DIR
from helpers.runner import blemishes, clean, read_notebooks, run

NOTEBOOKS = read_notebooks(NOTEBOOKS_DIR)

pytestmark = pytest.mark.notebook


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda n: n.name)
def test_notebook_runs(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = notebook.path.read_bytes()
    only = [n.number for n in (*notebook.needs, notebook)]
    report = run("smoke", only, run_dir=tmp_path / "run")
    log = (tmp_path / "run" / "log.txt").read_text()
    assert report.status[notebook.name] == "done", log
    assert notebook.path.read_bytes() == before
    executed = tmp_path / "run" / "notebooks" / notebook.path.name
    nb = clean(nbformat.read(executed, as_version=4))
    assert list(blemishes(nb)) == []


@pytest.mark.parametrize("counts", [(15, 40), (20, 20, 20)])
def test_all_methods_take_two_classes_and_equal_ones(tmp_path, counts):
    """Head, medium and tail are columns only where there are thirds."""
    rng = np.random.default_rng(0)
    for c, count in enumerate(counts):
        folder = tmp_path / "made" / f"class {c}"
        folder.mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(200, size=(32, 32, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    settings = {"DATASET": "made", "DATA_DIR": str(tmp_path)}
    report = run("smoke", ["A2"], settings, run_dir=tmp_path / "run")
    log = (tmp_path / "run" / "log.txt").read_text()
    assert set(report.status.values()) == {"done"}, log
    means = pd.read_csv(tmp_path / "run" / "results" / "A2_made_means.csv")
    scores = {"macro_f1", "balanced_accuracy", "accuracy"}
    assert set(means) == {"split", "method", *scores}


def test_plain_papermill_runs_from_another_directory(tmp_path):
    command = [sys.executable, "-m", "papermill", str(NOTEBOOKS[0].path)]
    command += ["out.ipynb", "-p", "PROFILE", "smoke", "-p", "RUN_DIR", "run"]
    environment = os.environ | {"JUPYTER_PREFER_ENV_PATH": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.ipynb").is_file()
