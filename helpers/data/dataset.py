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

CLASS_LEFT_OUT = "class not taken"
"""The reason in ``found`` of images that ``of_classes`` leaves out."""


def found_table(rows: dict | list[dict]) -> pd.DataFrame:
    """Return a table with the columns ``FOUND``.

    rows: dictionaries, or a dictionary of columns; what they lack is "",
    False or <NA>.
    """
    # As objects: a hash beside an unknown one would be rounded to a float.
    table = pd.DataFrame(rows, columns=list(FOUND), dtype=object)
    unknown = {c: "" for c, kind in FOUND.items() if kind == "str"}
    unknown |= {c: False for c, kind in FOUND.items() if kind == "bool"}
    return table.fillna(unknown).astype(FOUND)


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
        fields = ("images", "labels", "groups", "published_split", "files")
        kept = {field: getattr(self, field) for field in fields}
        kept = {f: v if v is None else v[rows] for f, v in kept.items()}
        kept["images"].flags.writeable = False
        if self.facts is not None:
            kept["facts"] = self.facts.iloc[rows].reset_index(drop=True)
        return replace(self, **kept | changed)

    def of_classes(self, names: Sequence[str]) -> "ImageDataset":
        """Return the images of some classes, labelled in that order.

        Provenance and ``found`` note it. Raises ValueError where fewer than
        two different classes are named, or one that is not here.
        """
        unknown = [name for name in names if name not in self.class_names]
        if unknown or len(set(names)) < max(len(names), 2):
            raise ValueError(
                f"classes: expected two or more of {self.class_names}, each "
                f"once, got {tuple(names)}"
            )
        new = np.array([[*names, old].index(old) for old in self.class_names])
        rows = np.flatnonzero(new[self.labels] < len(names))
        found, kept = self.found.copy(), set(self.files[rows])
        gone = found["file"].isin(set(self.files) - kept)
        found.loc[gone, ["used", "reason"]] = [False, CLASS_LEFT_OUT]
        return self.take(
            rows,
            found=found,
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
        few = [f"'{c}' ({k})" for c, k in counts.items() if k < n]
        kept = [c for c, k in counts.items() if k >= n]
        if not few:
            return self, ""
        if len(kept) < 2:
            raise ValueError(
                f"classes with fewer than {n} images: {', '.join(few)}; add "
                "images to them, or lower FOLDS or EVERY if that asks for so "
                "many"
            )
        return self.of_classes(kept), (
            f"Classes with fewer than {n} images are left out: "
            f"{', '.join(few)}. Add images to study them."
        )


def content_hash(rows: Iterable[Iterable[str]]) -> str:
    """Return the SHA-256 over the names and hashes of files, row by row."""
    lines = "".join("\0".join(row) + "\n" for row in rows)
    return hashlib.sha256(lines.encode()).hexdigest()


def from_arrays(
    name: str,
    images,
    labels,
    class_names: Sequence[str],
    *,
    published_split=None,
    groups: np.ndarray | None = None,
    files: np.ndarray | None = None,
    found: pd.DataFrame | None = None,
    facts: pd.DataFrame | None = None,
    group_rule: str | None = None,
    sha256: str | None = None,
    **known,
) -> ImageDataset:
    """Build an ``ImageDataset``, whose provenance counts what was found.

    labels: (N,) integers into class_names; known: what else belongs into
    provenance (origin, licence, ...); the rest as in ``ImageDataset``.

    Images that are in no file are named by their set and their place in it
    ("train/17"), ``found`` lists them with the SHA-256 of their pixels, and
    the data set's is over all pixels and labels.
    """
    images = np.ascontiguousarray(images)
    labels = np.asarray(labels).astype(np.int64)
    split = published_split
    if split is not None:
        split = np.asarray(split, dtype=str)
    if files is None:
        part = pd.Series(name if split is None else split, range(len(labels)))
        place = part.groupby(part).cumcount().astype(str)
        files = (part + "/" + place).to_numpy(str)
    if found is None:
        found = found_table(
            {
                "file": files,
                "class": np.array(list(class_names))[labels],
                "split": "" if split is None else split,
                "source": "" if groups is None else groups,
                "used": True,
                "width": images.shape[2],
                "height": images.shape[1],
                "sha256": [hashlib.sha256(im).hexdigest() for im in images],
            }
        )
    if sha256 is None:
        digest = hashlib.sha256(images)
        digest.update(labels.astype("<i8").tobytes())
        sha256 = digest.hexdigest()
    images.flags.writeable = False
    used = int(found["used"].sum())
    provenance = {
        "name": name,
        **known,
        "found": len(found),
        "used": used,
        "left_out": len(found) - used,
        "image_size": images.shape[1],
        "group_rule": group_rule,
        "sha256": sha256,
    }
    names, rest = tuple(class_names), (files, found, facts, provenance)
    return ImageDataset(name, images, labels, names, groups, split, *rest)
