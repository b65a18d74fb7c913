"""The digits as a data set, and what a picture in memory is listed as."""

import numpy as np
import pytest
from sklearn import datasets

from helpers.data.arrays import from_arrays
from helpers.data.digits import load_digits


def test_fields():
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


def test_grey_levels_and_order_are_kept():
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


@pytest.mark.parametrize("size", [7, 0, 8.0, None])
def test_bad_image_size(size):
    with pytest.raises(ValueError, match="image_size: expected 8"):
        load_digits(size)


def test_arrays_with_a_published_split():
    images = np.zeros((4, 2, 3, 3), np.uint8)
    images[2:] = 9
    split = ["train", "test", "train", "test"]
    ds = from_arrays(
        "toy", images, [1, 0, 1, 1], ("a", "b"), split, origin="x"
    )
    assert ds.files.tolist() == ["train/0", "test/0", "train/1", "test/1"]
    assert ds.published_split.tolist() == split
    found = ds.found
    assert found["class"].tolist() == ["b", "a", "b", "b"]
    assert found["split"].tolist() == split and found["used"].all()
    assert (found["width"] == 3).all() and (found["height"] == 2).all()
    # The same pixels have the same digest: copies can be found.
    assert found["sha256"].nunique() == 2
    assert ds.provenance["origin"] == "x"
    relabelled = from_arrays("toy", images, [1, 0, 0, 1], ("a", "b"))
    assert relabelled.provenance["sha256"] != ds.provenance["sha256"]
