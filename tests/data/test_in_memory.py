"""The digits, and CIFAR from an NPZ file or through Keras."""

import keras
import numpy as np
import pytest
from sklearn import datasets

from helpers.data import in_memory
from helpers.data.in_memory import load_cifar, load_digits


def test_fields_of_the_digits():
    for size in (7, 0, 8.0, None):
        with pytest.raises(ValueError, match="image_size: expected 8"):
            load_digits(size)
    ds = load_digits()
    assert ds.images.shape == (1797, 16, 16, 3) and ds.images.dtype == np.uint8
    assert ds.class_names == tuple("0123456789")
    assert ds.labels.dtype == np.int64 and len(ds.labels) == 1797
    assert ds.counts().tolist() == [
        *(178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
    ]
    assert ds.groups is None and ds.published_split is None
    assert ds.files[3] == "digits/3" and len(set(ds.files)) == 1797
    assert ds.provenance["image_size"] == 16
    assert ds.provenance["licence"] == "CC BY 4.0"
    with pytest.raises(ValueError, match="read-only"):
        ds.images[0] = 0


def test_grey_levels_and_order_of_the_digits_are_kept():
    ds = load_digits(8)
    bunch = datasets.load_digits()
    assert np.array_equal(ds.labels, bunch.target)
    assert (ds.images == ds.images[..., :1]).all()
    assert np.abs(ds.images[..., 0] / 255 - bunch.images / 16).max() < 0.002
    assert (ds.images.min(), ds.images.max()) == (0, 255)


def test_enlarged_digits_show_the_same():
    small, large = load_digits(8).images[..., 0], load_digits(24).images
    assert large.shape[1:] == (24, 24, 3)
    # Bilinear: the middle of each block of 3 × 3 is the pixel itself.
    assert np.array_equal(large[:, 1::3, 1::3, 0], small)
    # ... and a third of the way to the next pixel is a third of the step.
    step = (
        small[:, :, :-1]
        + (small[:, :, 1:] - small[:, :, :-1].astype(float)) / 3
    )
    assert np.abs(large[:, 1::3, 2:-1:3, 0] - step).max() <= 1


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

    for name in in_memory.CIFAR_CLASSES:
        module = getattr(keras.datasets, name)
        monkeypatch.setattr(module, "load_data", load_data)


@pytest.mark.parametrize("shape", [-1, (-1, 1)], ids=["flat", "columns"])
@pytest.mark.parametrize(
    ("name", "origin"),
    [("cifar10", "cifar10.npz"), ("cifar100", "keras.datasets.cifar100")],
)
def test_cifar(tmp_path, no_download, monkeypatch, name, origin, shape):
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
    ds = load_cifar(name, tmp_path)
    assert ds.images.dtype == np.uint8 and ds.labels.dtype == np.int64
    assert np.array_equal(ds.images[:6], made["x_train"])
    assert np.array_equal(ds.images[6:], made["x_test"])
    assert ds.labels.tolist() == [*made["y_train"], *made["y_test"]]
    assert ds.published_split.tolist() == ["train"] * 6 + ["test"] * 4
    assert ds.class_names == in_memory.CIFAR_CLASSES[name]
    assert ds.files[[0, 6]].tolist() == ["train/0", "test/0"]
    assert origin in ds.provenance["origin"] and ds.groups is None
    assert str(tmp_path) not in repr(ds.provenance)


def test_class_names():
    ten, hundred = in_memory.CIFAR_CLASSES.values()
    assert len(set(ten)) == 10 and ten[3] == "cat"
    assert len(set(hundred)) == 100 and list(hundred) == sorted(hundred)


def test_without_a_file_a_network_or_the_right_name(tmp_path, no_download):
    with pytest.raises(OSError, match="URL fetch.*put cifar10.npz.*x_train"):
        load_cifar("cifar10", tmp_path)
    with pytest.raises(ValueError, match="cifar10 or cifar100, got 'cifar'"):
        load_cifar("cifar", tmp_path)
    (tmp_path / "cifar10.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(ValueError, match="cifar10.npz: expected the arrays"):
        load_cifar("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"y_test": None}, "y_test is not a file"),
        ({"x_train": np.zeros((6, 28, 28, 3), np.uint8)}, "x_train is uint8"),
        ({"x_test": np.zeros((4, 32, 32, 3))}, "x_test is float64"),
        ({"y_train": np.zeros(5, int)}, "y_train has 5 labels for 6"),
        ({"y_train": np.full(6, 10)}, "y_train: labels: expected 0 to 9"),
        ({"y_test": np.zeros(4)}, "y_test: labels: .*integers"),
        ({"y_test": np.array([{}] * 4)}, "Object arrays cannot be loaded"),
    ],
)
def test_other_arrays(tmp_path, no_download, change, told):
    made = {k: v for k, v in (arrays() | change).items() if v is not None}
    np.savez(tmp_path / "cifar10.npz", **made)
    with pytest.raises(ValueError, match=f"cifar10.npz: .*{told}"):
        load_cifar("cifar10", tmp_path)
