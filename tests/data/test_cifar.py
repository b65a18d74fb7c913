"""CIFAR from an NPZ file or through Keras, and what is told when neither."""

import numpy as np
import pytest
from keras import datasets

from helpers.data import cifar
from helpers.data.cifar import load_cifar


def arrays(n_train=6, n_test=4, n_classes=10):
    rng = np.random.default_rng(0)

    def part(n):
        x = rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
        return x, rng.integers(0, n_classes, n, dtype=np.uint8)

    return dict(
        zip(cifar.ARRAYS, (*part(n_train), *part(n_test)), strict=True)
    )


@pytest.fixture
def no_download(monkeypatch):
    def load_data():
        raise Exception("URL fetch failure on https://example.org")

    for name in cifar.CLASS_NAMES:
        module = getattr(datasets, name)
        monkeypatch.setattr(module, "load_data", load_data)


def test_npz(tmp_path, no_download):
    made = arrays()
    np.savez(tmp_path / "cifar10.npz", **made)
    ds = load_cifar("cifar10", tmp_path)
    assert ds.images.dtype == np.uint8 and ds.labels.dtype == np.int64
    assert np.array_equal(ds.images[:6], made["x_train"])
    assert np.array_equal(ds.images[6:], made["x_test"])
    assert ds.labels.tolist() == [*made["y_train"], *made["y_test"]]
    assert ds.published_split.tolist() == ["train"] * 6 + ["test"] * 4
    assert ds.n_classes == 10 and ds.groups is None
    assert ds.class_names[3] == "cat"
    assert ds.files[[0, 6]].tolist() == ["train/0", "test/0"]
    assert "cifar10.npz" in ds.provenance["origin"]
    assert str(tmp_path) not in repr(ds.provenance)


def test_npz_with_labels_as_columns(tmp_path, no_download):
    made = arrays()
    columns = {k: v[:, None] if k[0] == "y" else v for k, v in made.items()}
    np.savez(tmp_path / "cifar10.npz", **columns)
    labels = load_cifar("cifar10", tmp_path).labels
    assert labels.tolist() == [*made["y_train"], *made["y_test"]]


def test_through_keras(tmp_path, monkeypatch):
    made = arrays(n_classes=100)

    def load_data():
        # Keras' labels are columns.
        return (made["x_train"], made["y_train"][:, None]), (
            made["x_test"],
            made["y_test"][:, None],
        )

    monkeypatch.setattr(datasets.cifar100, "load_data", load_data)
    ds = load_cifar("cifar100", tmp_path)
    assert ds.labels.tolist() == [*made["y_train"], *made["y_test"]]
    assert ds.n_classes == 100
    assert "keras.datasets.cifar100" in ds.provenance["origin"]


def test_class_names():
    fine = cifar.CLASS_NAMES["cifar100"]
    assert len(set(fine)) == 100 and list(fine) == sorted(fine)
    assert len(set(cifar.CLASS_NAMES["cifar10"])) == 10


def test_no_network(tmp_path, no_download):
    with pytest.raises(OSError, match="URL fetch.*put cifar10.npz.*x_train"):
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


def test_damaged_file(tmp_path, no_download):
    (tmp_path / "cifar10.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(ValueError, match="cifar10.npz: expected the arrays"):
        load_cifar("cifar10", tmp_path)


def test_other_name(tmp_path):
    with pytest.raises(ValueError, match="cifar10 or cifar100, got 'cifar'"):
        load_cifar("cifar", tmp_path)
