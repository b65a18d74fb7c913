"""What every loader returns, some of its classes, and arrays in memory."""

import numpy as np
import pandas as pd
import pytest

from helpers.data.dataset import ImageDataset, found_table, from_arrays


@pytest.fixture
def ds():
    images = np.arange(6, dtype=np.uint8)[:, None, None, None]
    return ImageDataset(
        name="some",
        images=np.broadcast_to(images, (6, 2, 2, 3)),
        labels=np.array([0, 1, 2, 3, 1, 0]),
        class_names=("a", "b", "c", "d"),
        groups=np.array(list("uvwxyz")),
        published_split=None,
        files=np.array([f"{k}.png" for k in range(6)]),
        found=found_table({"file": [f"{k}.png" for k in range(7)]}),
        facts=pd.DataFrame({"tone": range(10, 16)}),
        provenance={"name": "some"},
    )


def test_of_classes_labels_in_the_order_asked(ds):
    part = ds.of_classes(["d", "b"])
    assert part.class_names == ("d", "b") and part.n_classes == 2
    assert part.labels.tolist() == [1, 0, 1]
    assert part.images[:, 0, 0, 0].tolist() == [1, 3, 4]
    assert not part.images.flags.writeable
    assert part.groups.tolist() == ["v", "x", "y"]
    assert part.files.tolist() == ["1.png", "3.png", "4.png"]
    assert part.facts["tone"].tolist() == [11, 13, 14]
    assert part.facts.index.tolist() == [0, 1, 2]
    assert part.published_split is None and len(part.found) == 7
    gone = part.found["reason"] == "class not taken"
    assert part.found["file"][gone].tolist() == ["0.png", "2.png", "5.png"]
    assert not part.found["used"][gone].any()
    assert part.provenance == {"name": "some", "classes": "d, b"}
    assert ds.provenance == {"name": "some"}


@pytest.mark.parametrize("names", [["a"], [], ["a", "e"], ["a", "b", "a"]])
def test_of_classes_refuses(ds, names):
    with pytest.raises(ValueError, match="classes: expected two or more"):
        ds.of_classes(names)


def test_with_at_least_names_the_classes_it_leaves_out(ds):
    part, words = ds.with_at_least(2)
    assert part.class_names == ("a", "b") and len(part) == 4
    assert words == (
        "Classes with fewer than 2 images are left out: 'c' (1), 'd' (1). "
        "Add images to study them."
    )
    same, words = ds.with_at_least(1)
    assert same is ds and words == ""
    with pytest.raises(ValueError, match=r"fewer than 3 images: 'a' \(2\)"):
        ds.with_at_least(3)


def test_arrays_with_a_published_split():
    images = np.zeros((4, 2, 3, 3), np.uint8)
    images[2:] = 9
    split = ["train", "test", "train", "test"]
    ds = from_arrays(
        "toy", images, [1, 0, 1, 1], "ab", published_split=split, origin="x"
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


def test_a_hash_beside_an_unknown_one_keeps_all_its_bits():
    table = found_table([{"phash": np.uint64(2**63 + 1)}, {"file": "bad.jpg"}])
    assert table["phash"].tolist() == [2**63 + 1, pd.NA]
