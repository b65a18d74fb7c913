"""The labelled red cells of Chula RBC-12, one crop a cell.

The folder holds blood-smear photographs, ``Dataset/N.jpg``, and for each a
file ``Label/N.txt`` with one line ``x y type``, in pixels, a labelled cell.

K. Naruenatthanaset, T. H. Chalidabhongse, D. Palasuwan, N. Anantrasirichai
and A. Palasuwan, *Red Blood Cell Segmentation with Overlapping Cell
Separation and Classification on Imbalanced Dataset*, arXiv:2012.01321.
"""

import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.sparse.csgraph import connected_components

from helpers import paths
from helpers.data.dataset import (
    ImageDataset,
    content_hash,
    found_table,
    from_arrays,
)
from helpers.data.image_folder import (
    HIDDEN,
    is_hidden,
    read_image,
    readable_name,
)

CHULA = "chula-rbc-12"
"""The data set's folder in the data folder."""

CHULA_CLASSES = (
    *("normal cell", "macrocyte", "microcyte", "spherocyte", "target cell"),
    *("stomatocyte", "ovalocyte", "teardrop", "burr cell", "schistocyte"),
    *("uncategorised", "hypochromia"),
)
"""Types 0 to 11, the twelve classes of the paper."""

ELLIPTOCYTE = 12
"""The type that was added to the data after the paper."""

CROP = 64
"""Side of a crop in pixels. A lone cell is about 42 px across (microcytes
33, macrocytes 52) and its label up to 8 px beside its middle: 64 px hold
nearly every cell whole, with a rim of its neighbours."""

BLOCK = 20
"""Consecutive file numbers in a block: 1 to 20, 21 to 40, ..."""

GROUP_RULES = ("cell", "photograph", "block")

# Perceptual hashes (64 bits) of copies differ in at most 2 bits, those of
# different photographs in more than 10.
_COPY_BITS = 4


def load_cells(
    data_dir: Path | str | None = None,
    image_size: int = 64,
    group_rule: str = "block",
) -> ImageDataset:
    """Read the labelled cells of types 0 to 11, in numeric file order.

    data_dir: the folder that holds ``chula-rbc-12/``. image_size: side in
    pixels to which the square of ``CROP`` around a label is resized, bilinear
    with antialiasing. Beyond a border the photograph is mirrored (one cell in
    eight), so that the labelled cell stays in the middle.

    group_rule: what is one source. "cell": each cell, as in a random split.
    "photograph": the cells of one photograph. "block": those of 20
    consecutive file numbers, block (N - 1) // 20, because neighbours are
    series of one slide. Some photographs occur under two numbers, each
    labelled anew: such copies are one photograph, and blocks that share one
    are joined, while "cell" leaks there as well.

    Type 12, elliptocyte, is left out: it was added after the paper, on
    photographs with no other type labelled, so that the slide gives it away.

    ``files`` repeats the photograph of each cell; ``facts`` has its number,
    x and y. ``found`` has a row for each file in ``Dataset``; provenance
    counts these, and its SHA-256 is over the used ones and their labels.

    Raises FileNotFoundError for an absent folder, photograph or label file;
    ValueError for a label that is not ``x y type``, of no known type or
    outside its photograph, and where no cell is left.
    """
    if group_rule not in GROUP_RULES:
        raise ValueError(
            f"group_rule: expected one of {', '.join(GROUP_RULES)}, "
            f"got {group_rule!r}"
        )
    root = paths.data_folder(data_dir) / CHULA
    numbers, others = _files(root)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        read = [*pool.map(lambda n: _read(root, n, image_size), numbers)]
    rows = [row for row, _, _ in read]
    used = [row for row in rows if row["used"]]
    if not used:
        raise ValueError(f"no cell of types 0 to 11 is labelled in {root}")
    n_copies = _add_sources(used, group_rule)
    cells = pd.concat([kept for _, kept, _ in read], ignore_index=True)
    number = cells["photograph"]
    groups = number.map({row["number"]: row["source"] for row in used})
    if group_rule == "cell":
        groups = "cell " + cells.index.astype(str)
    return from_arrays(
        CHULA,
        np.concatenate([crops for _, _, crops in read]),
        cells["type"].to_numpy(),
        CHULA_CLASSES,
        files=("Dataset/" + number.astype(str) + ".jpg").to_numpy(str),
        found=found_table(rows + others),
        sha256=content_hash(
            (row["file"], row["sha256"], row["labels"]) for row in used
        ),
        groups=groups.to_numpy(str),
        facts=cells[["photograph", "x", "y"]],
        group_rule=group_rule,
        origin="github.com/Chula-PIC-Lab/Chula-RBC-12-Dataset",
        licence="MIT",
        citation="Naruenatthanaset et al., arXiv:2012.01321",
        copies=n_copies,
        cells=len(cells),
        elliptocytes_left_out=sum(row["elliptocytes"] for row in rows),
        crop=CROP,
    )


def read_photograph(
    number: int, data_dir: Path | str | None = None
) -> tuple[np.ndarray, pd.DataFrame]:
    """Read one photograph and its labels, to look for cells in it.

    Returns the image, (480, 640, 3) uint8, and a row a label with x and y
    in pixels and type, 0 to 12 (``ELLIPTOCYTE`` included). A label is a click
    on a cell: it has no radius, and only part of the cells have one.

    Raises FileNotFoundError where there is no such label file, ValueError
    for a photograph that cannot be read and for a bad label.
    """
    root = paths.data_folder(data_dir) / CHULA
    image, row = read_image(root / f"Dataset/{number}.jpg", None)
    labels = _labels(root / f"Label/{number}.txt", row)
    if row["reason"]:
        raise ValueError(
            f"{root}/Dataset/{number}.jpg cannot be used: {row['reason']}"
        )
    return image, labels


def _files(root: Path) -> tuple[list[int], list[dict]]:
    """Return the photographs' numbers, and a row for each other file."""
    for folder in (root / "Dataset", root / "Label"):
        if not folder.is_dir():
            raise FileNotFoundError(
                f"there is no folder {folder}; get Chula RBC-12 from "
                "github.com/Chula-PIC-Lab/Chula-RBC-12-Dataset and put its "
                f"folders Dataset and Label into {root}"
            )

    def numbered(names, ending: str) -> dict[str, int]:
        number = re.compile(rf"([1-9][0-9]*)\.{ending}").fullmatch
        return {m[0]: int(m[1]) for m in map(number, names) if m}

    names = sorted(os.listdir(root / "Dataset"))
    photographs = numbered(names, "jpg")
    labels = numbered(os.listdir(root / "Label"), "txt")
    for number in {*photographs.values()} ^ {*labels.values()}:
        raise FileNotFoundError(
            f"{root} has only one of Dataset/{number}.jpg and "
            f"Label/{number}.txt; get the other one or remove it"
        )
    return sorted(photographs.values()), [
        {
            "file": f"Dataset/{readable_name(name)}",
            "reason": HIDDEN if is_hidden(name) else "not a photograph N.jpg",
        }
        for name in names
        if name not in photographs
    ]


def _read(root: Path, number: int, image_size: int) -> tuple:
    """Read a photograph's row of ``found``, its used cells and their crops.

    The photograph itself is not kept: hundreds of them fill the memory.
    """
    file, label_file = f"Dataset/{number}.jpg", root / f"Label/{number}.txt"
    image, row = read_image(root / file, None)
    cells = _labels(label_file, row)
    kept = cells[cells["type"] != ELLIPTOCYTE].assign(photograph=number)
    if not row["reason"] and kept.empty:
        only = "only elliptocytes labelled"
        row["reason"] = "no labelled cell" if cells.empty else only
    row |= {
        "file": file,
        "used": not row["reason"],
        "number": number,
        "elliptocytes": len(cells) - len(kept),
        "labels": hashlib.sha256(label_file.read_bytes()).hexdigest(),
    }
    if not row["used"]:
        kept = kept[:0]
    crops = np.empty((len(kept), image_size, image_size, 3), np.uint8)
    if row["used"]:
        # The crop of label (x, y) covers x - CROP // 2 … + CROP - 1.
        half = (CROP // 2, CROP // 2)
        padded = np.pad(image, (half, half, (0, 0)), "reflect")
        for crop, x, y in zip(crops, kept["x"], kept["y"], strict=True):
            square = Image.fromarray(padded[y : y + CROP, x : x + CROP])
            crop[:] = square.resize(crop.shape[:2], Image.Resampling.BILINEAR)
    return row, kept, crops


def _labels(path: Path, row: dict) -> pd.DataFrame:
    """Read a label file: int64 x, y and type of each label, all inside."""
    width, height = row.get("width", np.inf), row.get("height", np.inf)
    cells = []
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"Label/{path.name}, line {number}"
        if not re.fullmatch(r"\s*(-?\d+\s+){2}\d+\s*", line):
            raise ValueError(f"{where}: expected 'x y type', got {line!r}")
        x, y, kind = map(int, line.split())
        if kind > ELLIPTOCYTE:
            raise ValueError(f"{where}: type {kind} is not one of 0 to 12")
        if not (0 <= x < width and 0 <= y < height):
            raise ValueError(
                f"{where}: ({x}, {y}) lies outside the photograph of "
                f"{width} × {height} px; correct or remove the line"
            )
        cells.append((x, y, kind))
    return pd.DataFrame(cells, columns=["x", "y", "type"], dtype=np.int64)


def _add_sources(used: list[dict], rule: str) -> int:
    """Note the source of each photograph; return how many are copies.

    A source is named after its first photograph (or block).
    """
    numbers = np.array([row["number"] for row in used])
    hashes = np.array([row["phash"] for row in used], np.uint64)
    alike = np.bitwise_count(hashes[:, None] ^ hashes) <= _COPY_BITS
    n_different, _ = connected_components(alike)
    if rule == "block":
        numbers = (numbers - 1) // BLOCK
        alike |= numbers[:, None] == numbers
    _, part = connected_components(alike)
    kind = "block" if rule == "block" else "photograph"
    for row, label in zip(used, part, strict=True):
        row["source"] = f"{kind} {numbers[part == label].min()}"
    return len(used) - n_different
