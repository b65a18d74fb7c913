"""Every data set by its name."""

import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest
from image_files import draw, folder_with
from sklearn import datasets

from helpers.data import catalog
from helpers.data.catalog import (
    WRITER_STARTS,
    load,
    load_digits,
    load_three,
)
from helpers.data.dataset import from_arrays


def test_unknown_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="'gone'.*data/README.md"):
        load("gone", tmp_path)


def test_bad_sizes_and_rules():
    for size in (0, -1, 1.5):
        with pytest.raises(ValueError, match="image_size: expected pixels"):
            load("synthetic_acne_small", image_size=size)
    with pytest.raises(ValueError, match="image_size: cifar10.*32 pixels"):
        load("cifar10", image_size=150)
    with pytest.raises(ValueError, match="groups: 'roboflow' is neither"):
        load("digits", groups="roboflow")
    with pytest.raises(ValueError, match="LABELS.*: digits has its own"):
        load("digits", labels="labels.csv")


def test_embedded_small(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog.paths, "CACHE_DIR", tmp_path)
    ds = load("synthetic_acne_small", image_size=32)
    assert ds.class_names == catalog.acne.CLASS_NAMES
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
    data = folder_with("acne5")
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


# --- digits and CIFAR -----------------------------------------------------


def test_digits_keep_grey_levels_and_order():
    ds, bunch = load_digits(8), datasets.load_digits()
    assert load("digits", groups=None).images.shape == (1797, 16, 16, 3)
    assert np.array_equal(ds.labels, bunch.target)
    assert ds.labels.dtype == np.int64 and ds.images.dtype == np.uint8
    assert (ds.images == ds.images[..., :1]).all()
    assert np.abs(ds.images[..., 0] / 255 - bunch.images / 16).max() < 0.002
    assert ds.published_split is None
    assert ds.files[3] == "digits/3" and len(set(ds.files)) == 1797
    assert ds.provenance["licence"] == "CC BY 4.0"
    # Bilinear: the middle of each block of 3 × 3 is the pixel itself.
    large = load_digits(24).images
    assert np.array_equal(large[:, 1::3, 1::3], ds.images)


def test_digits_come_by_inferred_writer():
    """Most runs begin with the digits in order, three times."""
    groups, labels = load_digits().groups, datasets.load_digits().target
    first = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
    assert tuple(first) == WRITER_STARTS and len(set(groups)) == 14
    in_order = [
        i
        for i in first
        if (labels[i : i + 30] % 10).tolist() == [*range(10)] * 3
    ]
    assert len(in_order) == 12
    assert np.unique(groups, return_counts=True)[1].min() >= 114


def arrays(n_classes=10):
    rng = np.random.default_rng(0)
    made = {}
    for part, n in (("train", 6), ("test", 4)):
        made[f"x_{part}"] = rng.integers(0, 256, (n, 32, 32, 3), np.uint8)
        made[f"y_{part}"] = rng.integers(0, n_classes, n, np.uint8)
    return made


@pytest.fixture
def no_download(monkeypatch):
    def load_data():
        raise Exception("URL fetch failure on https://example.org")

    monkeypatch.setattr(keras.datasets.cifar10, "load_data", load_data)


@pytest.mark.parametrize(
    ("name", "origin", "shape"),
    [
        ("cifar10", "cifar10.npz", -1),
        ("cifar100", "cifar100.npz", (-1, 1)),
        ("cifar100", "keras.datasets.cifar100", (-1, 1)),
    ],
)
def test_cifar(tmp_path, monkeypatch, name, origin, shape):
    """From a file or through Keras, whose labels are columns."""
    made = arrays(100 if name == "cifar100" else 10)
    stored = {
        key: value.reshape(shape) if key[0] == "y" else value
        for key, value in made.items()
    }
    if origin.endswith("npz"):
        np.savez(tmp_path / origin, **stored)
    else:
        x_train, y_train, x_test, y_test = stored.values()
        pairs = (x_train, y_train), (x_test, y_test)
        module = getattr(keras.datasets, name)
        monkeypatch.setattr(module, "load_data", lambda: pairs)
    ds = load(name, tmp_path)
    assert ds.images.dtype == np.uint8 and ds.labels.dtype == np.int64
    assert np.array_equal(ds.images[:6], made["x_train"])
    assert np.array_equal(ds.images[6:], made["x_test"])
    assert ds.labels.tolist() == [*made["y_train"], *made["y_test"]]
    assert ds.published_split.tolist() == ["train"] * 6 + ["test"] * 4
    assert ds.class_names == catalog.CIFAR_CLASSES[name]
    assert len(set(ds.class_names)) == int(name.removeprefix("cifar"))
    assert ds.files[[0, 6]].tolist() == ["train/0", "test/0"]
    assert origin in ds.provenance["origin"] and ds.groups is None
    assert str(tmp_path) not in repr(ds.provenance)


def test_cifar_without_a_sound_file_or_a_network(tmp_path, no_download):
    with pytest.raises(OSError, match="URL fetch.*put cifar10.npz.*x_train"):
        load("cifar10", tmp_path)
    (tmp_path / "cifar10.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(ValueError, match="cifar10.npz: expected the arrays"):
        load("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"y_test": None}, "y_test is not a file"),
        ({"x_train": np.zeros((6, 28, 28, 3), np.uint8)}, "x_train is uint8"),
        ({"x_test": np.zeros((4, 32, 32, 3))}, "x_test is float64"),
        ({"y_train": np.zeros(5, int)}, "x_train .* for 5 labels"),
        ({"y_train": np.full(6, 10)}, "labels: expected 0 to 9"),
        ({"y_test": np.zeros(4)}, "labels: .*integers"),
        ({"y_test": np.array([{}] * 4)}, "Object arrays cannot be loaded"),
    ],
)
def test_other_arrays(tmp_path, no_download, change, told):
    made = {k: v for k, v in (arrays() | change).items() if v is not None}
    np.savez(tmp_path / "cifar10.npz", **made)
    with pytest.raises(ValueError, match=f"cifar10.npz: .*{told}"):
        load("cifar10", tmp_path)


# --- the three classes of the red-cell paper ------------------------------

NAMES = ("normal cell", "macrocyte", "target cell", "hypochromia")


def cells(names, counts, rule="block"):
    """A data set whose every picture's pixels are its own number."""
    labels = np.repeat(np.arange(len(names)), counts)
    numbers = np.arange(len(labels), dtype=np.uint8)
    images = np.tile(numbers[:, None, None, None], (1, 8, 8, 3))
    return from_arrays(
        "cells",
        images,
        labels,
        names,
        groups=np.char.add("block ", (numbers % 7).astype(str)),
        facts=pd.DataFrame({"number": numbers}),
        group_rule=rule,
    )


@pytest.fixture
def given(monkeypatch):
    """Makes `load` hand out one data set."""

    def give(ds):
        monkeypatch.setattr(catalog, "load", lambda *a: ds)

    return give


def test_drawn_cells_are_those_of_the_paper():
    ds, counts = load_three("synthetic_smears", image_size=16, scale=0.05)
    assert ds.class_names == ("Codocyte", "Hypochromia", "Normal")
    assert counts["published"].tolist() == [345, 356, 2691]
    assert counts["used"].tolist() == counts["there"].tolist()
    assert counts["used"].tolist() == ds.counts().tolist()
    assert ds.images.shape[1:] == (16, 16, 3) and ds.groups is not None


def test_only_synthetic_cells_can_be_detected():
    how = {"image_size": 16, "scale": 0.05, "cells": "detected"}
    ds, counts = load_three("synthetic_smears", **how)
    assert counts["used"].tolist() == ds.counts().tolist()
    assert ds.provenance["missed"] > 0
    with pytest.raises(ValueError, match="cells: detected cells need"):
        load_three("chula-rbc-12", **how)


def test_real_cells_get_the_papers_names_order_and_ratio(given):
    whole = cells(NAMES, [100, 40, 30, 25])
    given(whole)
    ds, counts = load_three("chula-rbc-12", scale=0.02)
    assert ds.class_names == ("Codocyte", "Hypochromia", "Normal")
    # 2 % of 345, 356 and 2,691.
    assert counts["used"].tolist() == ds.counts().tolist() == [7, 7, 54]
    assert counts["there"].tolist() == [30, 25, 100]
    # All that is known of a cell went along with it.
    numbers = ds.images[:, 0, 0, 0]
    assert np.array_equal(ds.facts["number"], numbers)
    assert np.array_equal(ds.groups, whole.groups[numbers])
    assert np.array_equal(ds.files, whole.files[numbers])
    old = np.array(NAMES)[whole.labels[numbers]]
    new = [catalog.IN_CHULA[ds.class_names[c]] for c in ds.labels]
    assert old.tolist() == new


def test_all_shrink_alike_where_one_class_is_short(given):
    given(cells(NAMES, [120, 40, 5, 25]))
    ds, counts = load_three("chula-rbc-12")
    assert counts["used"].tolist() == [5, 5, 39]
    again, _ = load_three("chula-rbc-12")
    other, _ = load_three("chula-rbc-12", seed=1)
    assert np.array_equal(ds.images, again.images)
    assert not np.array_equal(ds.images, other.images)
    assert other.provenance["seed_of_taking"] == 1


def test_a_folder_needs_the_classes(given):
    ds = cells(("Normal", "Codocyte", "Hypochromia"), [80, 12, 12], "roboflow")
    given(ds)
    mine, _ = load_three("own", scale=0.02)
    assert mine.counts().tolist() == [7, 7, 54]
    given(cells(("Normal", "Codocyte"), [80, 12]))
    with pytest.raises(ValueError, match="has no class Hypochromia"):
        load_three("own")
    with pytest.raises(ValueError, match="scale=2 must lie"):
        load_three("own", scale=2)


def test_an_image_folder_on_disk(tmp_path):
    for name, count in (("Normal", 20), ("Codocyte", 4), ("Hypochromia", 4)):
        for k in range(count):
            draw(tmp_path / "own" / name / f"{name}{k}.png", k)
    ds, counts = load_three("own", tmp_path, 16)
    assert ds.class_names == ("Codocyte", "Hypochromia", "Normal")
    # 345 : 356 : 2,691, by one factor, within 4, 4 and 20 images.
    assert counts["used"].tolist() == [3, 3, 20]
    assert len(np.unique(ds.groups)) == 26
    for name in ("own/", f"{tmp_path}/own"):
        assert load(name, tmp_path, 16).name == "own"
