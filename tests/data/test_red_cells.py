"""Crops of labelled cells: places, types, sources, and what is left out."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from image_files import folder_with
from PIL import Image

from helpers.data import red_cells
from helpers.data.dataset import FOUND
from helpers.data.red_cells import (
    CHULA,
    CHULA_CLASSES,
    load_cells,
    read_photograph,
)

WIDTH, HEIGHT = 64, 48


def draw(root: Path, number: int, lines: str, kind="PNG") -> np.ndarray:
    """Write one photograph of its own noise, and its labels."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    for folder in ("Dataset", "Label"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(root / f"Dataset/{number}.jpg", kind)
    (root / f"Label/{number}.txt").write_text(lines)
    return pixels


def copy(root: Path, number: int, of: int, lines: str):
    shutil.copy(root / f"Dataset/{of}.jpg", root / f"Dataset/{number}.jpg")
    (root / f"Label/{number}.txt").write_text(lines)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / CHULA
    draw(root, 2, "20 10 3\n30 40 0\n")
    draw(root, 10, "0 0 11\n")
    draw(root, 20, "5 5 1\n")
    draw(root, 21, "5 5 1\n\n6 6 12\n", "JPEG")
    return root


def test_numeric_order_and_every_field(root):
    ds = load_cells(root.parent, image_size=16)
    assert ds.class_names == CHULA_CLASSES and ds.n_classes == 12
    assert ds.images.shape == (5, 16, 16, 3) and ds.images.dtype == np.uint8
    assert ds.labels.tolist() == [3, 0, 11, 1, 1]
    assert ds.labels.dtype == np.int64
    assert ds.files.tolist() == [
        f"Dataset/{n}.jpg" for n in (2, 2, 10, 20, 21)
    ]
    assert ds.facts["photograph"].tolist() == [2, 2, 10, 20, 21]
    assert ds.facts[["x", "y"]].to_numpy().tolist()[:2] == [[20, 10], [30, 40]]
    assert ds.published_split is None
    with pytest.raises(ValueError, match="read-only"):
        ds.images[0] = 0


def test_crops_are_squares_mirrored_at_the_border(root, monkeypatch):
    pixels = draw(root, 2, "20 10 3\n30 40 0\n0 0 0\n32 24 0\n")

    def crops(crop, size):
        monkeypatch.setattr(red_cells, "CROP", crop)
        return load_cells(root.parent, size).images

    first, _, corner = crops(20, 20)[:3]
    assert np.array_equal(first, pixels[0:20, 10:30])
    assert np.array_equal(corner[10:, 10:], pixels[:10, :10])
    assert np.array_equal(corner[:10, 10:], pixels[10:0:-1, :10])
    assert np.array_equal(corner[10:, :10], pixels[:10, 10:0:-1])
    assert np.array_equal(crops(9, 9)[0], pixels[6:15, 16:25])
    square = Image.fromarray(pixels[8:40, 16:48])
    expected = square.resize((8, 8), Image.Resampling.BILINEAR)
    assert np.array_equal(crops(32, 8)[3], np.asarray(expected))


def test_group_rules(root):
    def groups(rule):
        return load_cells(root.parent, 8, rule).groups.tolist()

    assert groups("cell") == [f"cell {k}" for k in range(5)]
    assert groups("photograph") == [
        f"photograph {n}" for n in (2, 2, 10, 20, 21)
    ]
    # Numbers 1 to 20 are one block, 21 begins the next.
    assert groups("block") == ["block 0"] * 4 + ["block 1"]
    assert load_cells(root.parent, 8).groups.tolist() == groups("block")


def test_copies_are_one_photograph_and_join_blocks(root):
    copy(root, 41, 10, "9 9 5\n")
    draw(root, 61, "9 9 5\n")
    ds = load_cells(root.parent, 8, "photograph")
    assert ds.groups.tolist()[2:] == [
        f"photograph {n}" for n in (10, 20, 21, 10, 61)
    ]
    assert ds.provenance["copies"] == 1
    blocks = load_cells(root.parent, 8, "block").groups.tolist()
    assert blocks == ["block 0"] * 4 + ["block 1", "block 0", "block 3"]
    assert len(set(load_cells(root.parent, 8, "cell").groups)) == 7


def test_found_tells_every_file(root):
    draw(root, 7, "")
    draw(root, 8, "1 1 12\n2 2 12\n")
    draw(root, 9, "1 1 0\n")
    (root / "Dataset/9.jpg").write_text("no image")
    (root / "Dataset/.DS_Store").touch()
    (root / "Dataset/notes.txt").touch()
    left_out = {
        "Dataset/7.jpg": "no labelled cell",
        "Dataset/8.jpg": "only elliptocytes labelled",
        "Dataset/9.jpg": "unreadable",
        "Dataset/.DS_Store": "hidden",
        "Dataset/notes.txt": "not a photograph N.jpg",
    }
    # Some file systems know no names outside UTF-8.
    with suppress(OSError):
        open(os.fsencode(root / "Dataset") + b"/caf\xe9.jpg", "wb").close()
        left_out[r"Dataset/caf\xe9.jpg"] = "not a photograph N.jpg"
    ds = load_cells(root.parent, 8)
    photographs = [f"Dataset/{n}.jpg" for n in (2, 7, 8, 9, 10, 20, 21)]
    assert ds.found["file"].tolist()[:8] == [*photographs, "Dataset/.DS_Store"]
    out = ds.found[~ds.found["used"]]
    assert dict(zip(out["file"], out["reason"], strict=True)) == left_out
    used = ds.found[ds.found["used"]].set_index("file")
    assert (used["reason"] == "").all()
    # All but number 21 are PNG inside.
    assert used["mistyped"].tolist() == [True, True, True, False]
    assert set(used["source"]) == set(ds.groups)
    assert ds.found.dtypes.astype(str).to_dict() == FOUND


def test_provenance_and_its_hash_of_images_and_labels(root):
    def known():
        return load_cells(root.parent, 8).provenance

    first = known()["sha256"]
    draw(root, 8, "1 1 12\n2 2 12\n")
    told = known()
    assert (told["found"], told["used"], told["left_out"]) == (5, 4, 1)
    assert (told["cells"], told["elliptocytes_left_out"]) == (5, 3)
    assert (told["image_size"], told["crop"]) == (8, 64)
    assert told["licence"] == "MIT" and "2012.01321" in told["citation"]
    assert str(root.parent) not in repr(told)
    assert told["sha256"] == first
    (root / "Label/2.txt").write_text("20 10 3\n30 40 1\n")
    relabelled = known()["sha256"]
    copy(root, 2, 10, "20 10 3\n30 40 1\n")
    assert len({first, relabelled, known()["sha256"]}) == 3


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("64 1 0", r"line 2: \(64, 1\) lies outside .* 64 × 48 px"),
        ("1 48 0", "line 2: .*outside"),
        ("1 1 13", "line 2: type 13 is not one of 0 to 12"),
        ("1 1", "line 2: expected 'x y type', got '1 1'"),
    ],
)
def test_bad_labels(root, line, told):
    draw(root, 2, f"1 1 0\n{line}\n")
    with pytest.raises(ValueError, match=f"Label/2.txt, {told}"):
        load_cells(root.parent, 8)


def test_half_a_pair_and_absent_folders(root):
    (root / "Label/10.txt").unlink()
    with pytest.raises(FileNotFoundError, match="only one of .*/10.jpg"):
        load_cells(root.parent)
    (root / "Dataset/10.jpg").unlink()
    (root / "Dataset/2.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="only one of .*/2.jpg"):
        load_cells(root.parent)
    shutil.rmtree(root / "Label")
    with pytest.raises(FileNotFoundError, match="Label; get"):
        load_cells(root.parent)
    draw(root.parent / "other" / CHULA, 1, "1 1 12\n")
    with pytest.raises(ValueError, match="no cell of types 0 to 11"):
        load_cells(root.parent / "other")


def test_one_photograph_with_its_labels(root):
    # A label file may begin with a byte-order mark.
    pixels = draw(root, 2, "\ufeff20 10 3\n30 40 12\n")
    image, cells = read_photograph(2, root.parent)
    assert np.array_equal(image, pixels) and image.dtype == np.uint8
    assert cells.to_numpy().tolist() == [[20, 10, 3], [30, 40, 12]]
    draw(root, 7, "")
    _, none = read_photograph(7, root.parent)
    assert len(none) == 0 and list(none) == ["x", "y", "type"]


def test_no_such_photograph(root):
    with pytest.raises(FileNotFoundError, match="Label.3.txt"):
        read_photograph(3, root.parent)
    (root / "Dataset/2.jpg").write_text("no image")
    with pytest.raises(ValueError, match="2.jpg cannot be used: unreadable"):
        read_photograph(2, root.parent)
    with pytest.raises(ValueError, match="group_rule"):
        load_cells(root.parent, group_rule="slide")


@pytest.mark.real
def test_public_cells():
    data = folder_with(CHULA)
    ds = load_cells(data, image_size=16)
    labels = [
        line.split()[2]
        for path in (Path(data) / CHULA / "Label").glob("*.txt")
        for line in path.read_text().splitlines()
    ]
    told = pd.Series(labels).astype(int).value_counts()
    assert ds.counts().tolist() == told.sort_index().tolist()[:12]
    assert ds.provenance["elliptocytes_left_out"] == told[12]
    # Numbers 561 to 577 come again among 608 to 623.
    source = dict(zip(ds.files, ds.groups, strict=True))
    assert source["Dataset/561.jpg"] == source["Dataset/608.jpg"]
    assert ds.provenance["copies"] >= 14
    assert len(set(ds.groups)) < 37
    # Each class lies in enough blocks for five folds.
    blocks = pd.DataFrame({"class": ds.labels, "block": ds.groups})
    assert blocks.groupby("class")["block"].nunique().min() >= 5
