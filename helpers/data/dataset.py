"""What every loader returns: images, labels and where they come from."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from helpers.imbalance import class_counts

FOUND = {
    "file": "str",
    "class": "str",
    "split": "str",
    "source": "str",
    "used": "bool",
    "reason": "str",
    "mistyped": "bool",
    "width": "Int64",
    "height": "Int64",
    "format": "str",
    "mode": "str",
    "sha256": "str",
    "phash": "UInt64",
}
"""Columns of ``ImageDataset.found`` and their types in pandas."""


_UNKNOWN = {
    name: {"str": "", "bool": False}.get(t) for name, t in FOUND.items()
}


def found_table(rows: dict | list[dict]) -> pd.DataFrame:
    """Return a table with the columns ``FOUND``.

    rows: dictionaries, or a dictionary of columns. What is not known of a
    file is "", False or <NA>.
    """
    if isinstance(rows, dict):
        return pd.DataFrame(_UNKNOWN | rows).astype(FOUND)
    rows = [_UNKNOWN | row for row in rows]
    return pd.DataFrame(rows, columns=list(FOUND)).astype(FOUND)


@dataclass(frozen=True, eq=False, repr=False)
class ImageDataset:
    """Images, labels, and everything known of where they come from.

    images: (N, H, W, 3) uint8, read-only; labels: (N,) int64 into
    class_names; groups: (N,) str, the source of each image, or None;
    published_split: (N,) "train" / "val" / "test", or None; files: (N,) str,
    paths relative to the data set's folder; found: one row for each file
    found, used or not, with the columns ``FOUND``; facts: N rows from
    ``manifest.csv``, or None; provenance: name, origin, licence, counts,
    image_size, group_rule, and a SHA-256 over the names and bytes of the used
    files.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    groups: np.ndarray | None
    published_split: np.ndarray | None
    files: np.ndarray
    found: pd.DataFrame
    facts: pd.DataFrame | None
    provenance: dict

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        shape = "×".join(str(side) for side in self.images.shape[1:])
        return (
            f"ImageDataset({self.name}: {len(self)} images {shape}, "
            f"{self.n_classes} classes)"
        )

    @property
    def n_classes(self) -> int:
        return len(self.class_names)

    def counts(self) -> np.ndarray:
        """Return the number of images of each class, (C,) int64."""
        return class_counts(self.labels, self.n_classes)

    def take(self, rows: np.ndarray, **changed) -> "ImageDataset":
        """Return the images at some indices; ``found`` keeps every file.

        changed: fields with another value, already in the new order.
        """
        images = self.images[rows]
        images.flags.writeable = False
        groups, split, facts = self.groups, self.published_split, self.facts
        kept = {
            "images": images,
            "labels": self.labels[rows],
            "groups": None if groups is None else groups[rows],
            "published_split": None if split is None else split[rows],
            "files": self.files[rows],
            "facts": None
            if facts is None
            else facts.iloc[rows].reset_index(drop=True),
        }
        return replace(self, **kept | changed)

    def of_classes(self, names: Sequence[str]) -> "ImageDataset":
        """Return the images of some classes, labelled in that order.

        Provenance notes the classes. Raises ValueError where fewer than two
        different classes are named, or one that is not here.
        """
        unknown = [name for name in names if name not in self.class_names]
        if unknown or len(set(names)) < max(len(names), 2):
            raise ValueError(
                f"classes: expected two or more of {self.class_names}, each "
                f"once, got {tuple(names)}"
            )
        new = np.full(self.n_classes, -1)
        new[[self.class_names.index(name) for name in names]] = range(
            len(names)
        )
        rows = np.flatnonzero(new[self.labels] >= 0)
        return self.take(
            rows,
            labels=new[self.labels[rows]],
            class_names=tuple(names),
            provenance={**self.provenance, "classes": ", ".join(names)},
        )

    def with_at_least(self, n: int) -> tuple["ImageDataset", str]:
        """Leave out the classes with fewer than n images, and say so.

        Returns the data set and a sentence with the names of those classes,
        "" where there are none. Raises ValueError where fewer than two
        classes are left.
        """
        counts = dict(zip(self.class_names, self.counts(), strict=True))
        kept = [name for name, count in counts.items() if count >= n]
        if len(kept) == self.n_classes:
            return self, ""
        few = ", ".join(
            f"'{name}' ({count})"
            for name, count in counts.items()
            if count < n
        )
        if len(kept) < 2:
            raise ValueError(
                f"classes with fewer than {n} images: {few}; add images to "
                "them, or nothing can be compared"
            )
        return self.of_classes(kept), (
            f"Classes with fewer than {n} images are left out: {few}. Add "
            "images to study them."
        )


def content_hash(rows: Iterable[Iterable[str]]) -> str:
    """Return the SHA-256 over the names and hashes of files, row by row."""
    lines = "".join("\0".join(row) + "\n" for row in rows)
    return hashlib.sha256(lines.encode()).hexdigest()


def described(
    name: str,
    images: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    files: np.ndarray,
    found: pd.DataFrame,
    sha256: str,
    *,
    groups: np.ndarray | None = None,
    published_split: np.ndarray | None = None,
    facts: pd.DataFrame | None = None,
    group_rule: str | None = None,
    **known,
) -> ImageDataset:
    """Build an ``ImageDataset`` whose provenance counts what was found.

    known: what else belongs into provenance (origin, licence, ...); the
    other arguments are described in ``ImageDataset``.
    """
    images.flags.writeable = False
    n_used = int(found["used"].sum())
    provenance = {
        "name": name,
        **known,
        "found": len(found),
        "used": n_used,
        "left_out": len(found) - n_used,
        "image_size": images.shape[1],
        "group_rule": group_rule,
        "sha256": sha256,
    }
    return ImageDataset(
        name,
        images,
        labels,
        tuple(class_names),
        groups,
        published_split,
        files,
        found,
        facts,
        provenance,
    )


def from_arrays(
    name: str,
    images,
    labels,
    class_names: Sequence[str],
    published_split=None,
    **known,
) -> ImageDataset:
    """Build an ``ImageDataset`` without groups from arrays in memory.

    images: (N, H, W, 3) uint8; labels: (N,) integers into class_names;
    published_split: (N,) "train" / "val" / "test", or None; known: see
    ``described``.

    An image is named by its set and its place in it ("train/17"), and
    ``found`` lists it under that name with the SHA-256 of its pixels; what
    only a file has (format, mode, perceptual hash) is "" or <NA>.
    """
    images = np.ascontiguousarray(images)
    labels = np.asarray(labels).astype(np.int64)
    split = published_split
    if split is not None:
        split = np.asarray(split, dtype=str)
    part = (
        pd.Series(name, range(len(labels)))
        if split is None
        else pd.Series(split)
    )
    files = part + "/" + part.groupby(part).cumcount().astype(str)
    found = {
        "file": files,
        "class": np.array(class_names)[labels],
        "split": "" if split is None else split,
        "used": True,
        "width": images.shape[2],
        "height": images.shape[1],
        "sha256": [hashlib.sha256(image).hexdigest() for image in images],
    }
    digest = hashlib.sha256(images)
    digest.update(labels.astype("<i8").tobytes())
    return described(
        name,
        images,
        labels,
        class_names,
        files.to_numpy(str),
        found_table(found),
        digest.hexdigest(),
        published_split=split,
        **known,
    )
