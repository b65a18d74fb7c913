"""Every data set by its name."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers.data import catalog as datasets
from helpers.data.catalog import load


def test_unknown_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="'gone'.*data/README.md"):
        load("gone", tmp_path)


def test_digits():
    ds = load("digits", image_size=8)
    assert ds.images.shape == (1797, 8, 8, 3) and ds.groups is None
    assert load("digits", group_rule=None).images.shape[1] == 16
    with pytest.raises(ValueError, match="group_rule: digits has no sources"):
        load("digits", group_rule="roboflow")


def test_drawn_cells_come_by_smear():
    ds = load("synthetic_smears", image_size=16)
    assert ds.images.shape[1:] == (16, 16, 3)
    assert len(np.unique(ds.groups)) == 22


def test_cifar(tmp_path):
    x, y = np.zeros((10, 32, 32, 3), np.uint8), np.arange(10)
    file = tmp_path / "cifar10.npz"
    np.savez(file, x_train=x, y_train=y, x_test=x, y_test=y)
    ds = load("cifar10", tmp_path)
    assert len(ds) == 20 and set(ds.published_split) == {"train", "test"}
    with pytest.raises(ValueError, match="image_size: cifar10.*32 pixels"):
        load("cifar10", tmp_path, image_size=150)


def test_red_cells_come_by_block(tmp_path):
    folder = tmp_path / "chula-rbc-12"
    (folder / "Dataset").mkdir(parents=True)
    (folder / "Label").mkdir()
    for number in (1, 2, 30):
        noise = np.random.default_rng(number).integers(0, 256, (480, 640, 3))
        picture = Image.fromarray(noise.astype(np.uint8))
        picture.save(folder / "Dataset" / f"{number}.jpg")
        labels = "100 100 0\n200 200 1\n"
        (folder / "Label" / f"{number}.txt").write_text(labels)
    ds = load("chula-rbc-12", tmp_path)
    assert ds.images.shape == (6, 64, 64, 3)
    assert len(np.unique(ds.groups)) == 2
    ds = load("chula-rbc-12", tmp_path, 32, "photograph")
    assert ds.images.shape[1] == 32 and len(np.unique(ds.groups)) == 3


def test_embedded_small(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.paths, "CACHE_DIR", tmp_path)
    ds = load("synthetic_acne_small", image_size=32)
    assert ds.class_names == datasets.synthetic.CLASS_NAMES
    assert len(np.unique(ds.groups)) >= 15
    assert {"skin_tone", "light", "copy"} <= set(ds.facts.columns)
    assert len(ds.facts) == len(ds)
    (path,) = (tmp_path / ds.name).glob("*/manifest.csv")
    manifest = pd.read_csv(path)
    told = manifest.set_index("file").loc[ds.files]
    # The rule finds in the names the sources that were drawn.
    agree = pd.crosstab(ds.groups, (told["class"] + told["source"]).to_numpy())
    assert ((agree > 0).sum(axis=0) == 1).all()
    assert ((agree > 0).sum(axis=1) == 1).all()


@pytest.mark.real
def test_public_acne_set():
    data = os.environ.get("WORKBOOK_DATA")
    if not data or not (Path(data) / "acne5").is_dir():
        pytest.skip("WORKBOOK_DATA names no folder with acne5 in it")
    ds = load("acne5", data, image_size=16)
    assert ds.counts().tolist() == [1240, 1030, 1032, 1006, 299]
    assert len(np.unique(ds.groups)) == 221
    parts = pd.Series(ds.published_split).value_counts()
    assert parts[["train", "val", "test"]].tolist() == [2768, 921, 918]


def test_loaders_do_not_start_tensorflow():
    """A notebook does so quietly, in its session: see helpers.session."""
    code = "import sys, helpers.data; print('keras' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert done.stdout == "False\n", done.stderr
