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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.sparse.csgraph import connected_components

from helpers import paths
from helpers.data.dataset import FOUND, ImageDataset
from helpers.data.image_file import (
    HIDDEN,
    Picture,
    is_hidden,
    read_picture,
    readable_name,
)

NAME = "chula-rbc-12"
"""The data set's folder in the data folder."""

CLASS_NAMES = (
    "normal cell",
    "macrocyte",
    "microcyte",
    "spherocyte",
    "target cell",
    "stomatocyte",
    "ovalocyte",
    "teardrop",
    "burr cell",
    "schistocyte",
    "uncategorised",
    "hypochromia",
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

NOT_NUMBERED = "not a photograph N.jpg"
NO_CELL = "no labelled cell"
ONLY_ELLIPTOCYTES = "only elliptocytes labelled"

# Perceptual hashes (64 bits) of copies differ in at most 2 bits, those of
# different photographs in more than 10.
_COPY_BITS = 4


# What the list of files tells of each picture.
_PICTURE = (
    "mistyped",
    "width",
    "height",
    "format",
    "mode",
    "sha256",
    "phash",
)


@dataclass(frozen=True, eq=False)
class _Photograph:
    """One photograph: its cells (x, y, type; 0 to 11 only) and their crops.

    reason: "" or why none of it is used.
    """

    number: int
    reason: str
    picture: Picture
    cells: np.ndarray
    crops: np.ndarray
    n_elliptocytes: int
    label_file: bytes

    @property
    def file(self) -> str:
        return f"Dataset/{self.number}.jpg"


def load_cells(
    data_dir: Path | str | None = None,
    image_size: int = 64,
    crop: int = CROP,
    group_rule: str = "block",
) -> ImageDataset:
    """Read the labelled cells of types 0 to 11, in numeric file order.

    data_dir: the folder that holds ``chula-rbc-12/``; default
    ``WORKBOOK_DATA`` or ``data/``. crop: side in pixels of the square cut out
    around each label; image_size: side to which it is resized, bilinear with
    antialiasing (equal sides: not resampled). Beyond a border the photograph
    is mirrored (one cell in eight): the labelled cell stays in the middle,
    but what the border cuts off is invented.

    group_rule: what is one source. "cell": each cell its own, as in a random
    split. "photograph": the cells of one photograph. "block": those of 20
    consecutive file numbers, block (N - 1) // 20, because neighbours are
    series of one slide. Some photographs occur under two numbers, each
    labelled anew: such copies are one photograph, and blocks that share one
    are joined, while "cell" leaks there as well.

    Type 12, elliptocyte, is left out: it was added after the paper, on
    photographs with no other type labelled, so that the slide gives it away.

    ``files`` repeats the photograph of each cell; ``facts`` has its number,
    x, y and whether the crop is mirrored. ``found`` has one row for each file
    in ``Dataset``, with the reason where none of its cells is used; its
    source under "cell" is that of "photograph". ``found``, ``used`` and
    ``left_out`` in provenance count these files; its SHA-256 is over the used
    photographs and their labels.

    Raises FileNotFoundError for an absent folder, photograph or label file;
    ValueError for a label that is not ``x y type``, of no known type or
    outside its photograph, and where no cell is left.
    """
    if group_rule not in GROUP_RULES:
        raise ValueError(
            f"group_rule: expected one of {', '.join(GROUP_RULES)}, "
            f"got {group_rule!r}"
        )
    for name, side in (("image_size", image_size), ("crop", crop)):
        if not isinstance(side, int) or side < 1:
            raise ValueError(f"{name}: expected pixels, got {side!r}")
    root = paths.data_folder(data_dir) / NAME
    numbers, others = _files(root)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        photographs = list(
            pool.map(lambda n: _read(root, n, crop, image_size), numbers)
        )
    used = [p for p in photographs if not p.reason]
    if not used:
        raise ValueError(f"no cell of types 0 to 11 is labelled in {root}")

    sources, n_copies = _sources(used, group_rule)
    facts = _facts(used, crop)
    groups = facts["photograph"].map(sources)
    if group_rule == "cell":
        groups = "cell " + facts.index.astype(str)
    images = np.concatenate([p.crops for p in used])
    images.flags.writeable = False
    return ImageDataset(
        name=NAME,
        images=images,
        labels=np.concatenate([p.cells[:, 2] for p in used]),
        class_names=CLASS_NAMES,
        groups=groups.to_numpy(str),
        published_split=None,
        files=np.repeat([p.file for p in used], [len(p.cells) for p in used]),
        found=_found(photographs, others, sources),
        facts=facts,
        provenance={
            "name": NAME,
            "origin": "github.com/Chula-PIC-Lab/Chula-RBC-12-Dataset",
            "licence": "MIT",
            "citation": "Naruenatthanaset et al., arXiv:2012.01321",
            "found": len(photographs) + len(others),
            "used": len(used),
            "left_out": len(photographs) + len(others) - len(used),
            "copies": n_copies,
            "cells": len(images),
            "elliptocytes_left_out": sum(
                p.n_elliptocytes for p in photographs
            ),
            "image_size": image_size,
            "crop": crop,
            "group_rule": group_rule,
            "sha256": _content_hash(used),
        },
    )


def read_photograph(
    number: int, data_dir: Path | str | None = None
) -> tuple[np.ndarray, pd.DataFrame]:
    """Read one photograph and its labels, to look for cells in it.

    Returns the picture, (480, 640, 3) uint8, and a row a label with x and y
    in pixels and type, 0 to 12 (``ELLIPTOCYTE`` included). A label is a click
    on a cell: it has no radius, and only part of the cells have one.

    data_dir: see ``load_cells``. Raises FileNotFoundError where there is no
    such photograph or label file, ValueError for a photograph that cannot be
    read and for a bad label.
    """
    root = paths.data_folder(data_dir) / NAME
    numbers, _ = _files(root)
    if number not in numbers:
        raise FileNotFoundError(
            f"there is no photograph {number} in {root}; {len(numbers)} are "
            "there, named by their numbers"
        )
    file = f"Dataset/{number}.jpg"
    picture = read_picture(root / file, None)
    if picture.reason:
        raise ValueError(f"{root / file} cannot be used: {picture.reason}")
    cells = _labels(root / "Label" / f"{number}.txt", picture)
    return picture.image, pd.DataFrame(cells, columns=["x", "y", "type"])


def _files(root: Path) -> tuple[list[int], dict[str, str]]:
    """Return the photographs' numbers, and why each other file is none."""
    for folder in (root, root / "Dataset", root / "Label"):
        if not folder.is_dir():
            raise FileNotFoundError(
                f"there is no folder {folder}; get Chula RBC-12 from "
                "github.com/Chula-PIC-Lab/Chula-RBC-12-Dataset and put its "
                f"folders Dataset and Label into {root}"
            )
    numbers, others = set(), {}
    for path in (root / "Dataset").iterdir():
        if re.fullmatch(r"[1-9][0-9]*\.jpg", path.name):
            numbers.add(int(path.stem))
        else:
            reason = HIDDEN if is_hidden(path.name) else NOT_NUMBERED
            others[f"Dataset/{readable_name(path.name)}"] = reason
    labelled = {
        int(path.stem)
        for path in (root / "Label").glob("*.txt")
        if re.fullmatch("[1-9][0-9]*", path.stem)
    }
    for number in sorted(numbers ^ labelled):
        gone, there = f"Label/{number}.txt", f"Dataset/{number}.jpg"
        if number in labelled:
            gone, there = there, gone
        raise FileNotFoundError(
            f"{root} has {there} but no {gone}; get the missing file or "
            "remove the other"
        )
    return sorted(numbers), dict(sorted(others.items()))


def _read(root: Path, number: int, crop: int, image_size: int) -> _Photograph:
    picture = read_picture(root / "Dataset" / f"{number}.jpg", None)
    label_file = root / "Label" / f"{number}.txt"
    cells = _labels(label_file, picture)
    kept = cells[cells[:, 2] != ELLIPTOCYTE]
    reason = picture.reason or ""
    crops = np.empty((0, image_size, image_size, 3), np.uint8)
    if not reason and len(kept):
        crops = _crops(picture.image, kept, crop, image_size)
    elif not reason:
        reason = ONLY_ELLIPTOCYTES if len(cells) else NO_CELL
    # The photograph itself is not kept: hundreds of them fill the memory.
    known = {field: getattr(picture, field) for field in _PICTURE}
    return _Photograph(
        number=number,
        reason=reason,
        picture=Picture(**known),
        cells=kept,
        crops=crops,
        n_elliptocytes=len(cells) - len(kept),
        label_file=label_file.read_bytes(),
    )


def _labels(path: Path, picture: Picture) -> np.ndarray:
    """Read a label file: (n, 3) int64 of x, y, type, each inside."""
    cells = []
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"Label/{path.name}, line {number}"
        match = re.fullmatch(r"\s*(-?\d+)\s+(-?\d+)\s+(\d+)\s*", line)
        if match is None:
            raise ValueError(f"{where}: expected 'x y type', got {line!r}")
        x, y, kind = (int(part) for part in match.groups())
        if kind > ELLIPTOCYTE:
            raise ValueError(f"{where}: type {kind} is not one of 0 to 12")
        width, height = picture.width, picture.height
        if width and not (0 <= x < width and 0 <= y < height):
            raise ValueError(
                f"{where}: ({x}, {y}) lies outside the photograph of "
                f"{width} × {height} px; correct or remove the line"
            )
        cells.append((x, y, kind))
    return np.array(cells, np.int64).reshape(-1, 3)


def _crops(image, cells, crop: int, image_size: int) -> np.ndarray:
    """Cut a square around each label: (n, image_size, image_size, 3)."""
    half = crop // 2
    padded = np.pad(image, ((half, half), (half, half), (0, 0)), "reflect")
    crops = np.empty((len(cells), image_size, image_size, 3), np.uint8)
    for k, (x, y, _) in enumerate(cells):
        square = Image.fromarray(padded[y : y + crop, x : x + crop])
        crops[k] = square.resize(
            (image_size, image_size), Image.Resampling.BILINEAR
        )
    return crops


def _sources(used: list[_Photograph], rule: str) -> tuple[dict, int]:
    """Return the source of each photograph, and how many are copies.

    A source is named after its first photograph (or block).
    """
    numbers = np.array([p.number for p in used])
    hashes = np.array([p.picture.phash for p in used], np.uint64)
    alike = np.bitwise_count(hashes[:, None] ^ hashes) <= _COPY_BITS
    n_different, _ = connected_components(alike)
    if rule == "block":
        blocks = (numbers - 1) // BLOCK
        alike |= blocks[:, None] == blocks
    _, part = connected_components(alike)
    first = pd.Series(numbers).groupby(part).transform("min")
    if rule == "block":
        names = "block " + ((first - 1) // BLOCK).astype(str)
    else:
        names = "photograph " + first.astype(str)
    return dict(zip(numbers, names, strict=True)), len(used) - n_different


def _facts(used: list[_Photograph], crop: int) -> pd.DataFrame:
    tables = []
    for p in used:
        x, y, _ = p.cells.T
        # The crop of label (x, y) covers x - crop // 2 … + crop - 1.
        before, after = crop // 2, crop - crop // 2 - 1
        mirrored = (np.minimum(x, y) < before) | (
            np.minimum(p.picture.width - 1 - x, p.picture.height - 1 - y)
            < after
        )
        table = {"photograph": p.number, "x": x, "y": y, "mirrored": mirrored}
        tables.append(pd.DataFrame(table))
    return pd.concat(tables, ignore_index=True)


def _found(photographs, others, sources) -> pd.DataFrame:
    """List the files of ``Dataset``, with the columns of other data sets."""
    files = [
        (p.file, sources.get(p.number, ""), p.reason, p.picture)
        for p in photographs
    ] + [(file, "", reason, Picture()) for file, reason in others.items()]
    rows = [
        {
            "file": file,
            "class": "",
            "split": "",
            "source": source,
            "used": not reason,
            "reason": reason,
            **{field: getattr(picture, field) for field in _PICTURE},
        }
        for file, source, reason, picture in files
    ]
    table = pd.DataFrame(rows)
    text = [column for column in table if FOUND[column] == "str"]
    table[text] = table[text].astype(object).fillna("")
    return table.astype(FOUND)


def _content_hash(used: list[_Photograph]) -> str:
    digest = hashlib.sha256()
    for p in used:
        labels = hashlib.sha256(p.label_file).hexdigest()
        digest.update(f"{p.file}\0{p.picture.sha256}\0{labels}\n".encode())
    return digest.hexdigest()
