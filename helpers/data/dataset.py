"""What every loader returns: pictures, labels and where they come from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from helpers.imbalance.counts import class_counts

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


@dataclass(frozen=True, eq=False, repr=False)
class ImageDataset:
    """Pictures, labels, and everything known of where they come from.

    images: (N, H, W, 3) uint8, read-only; labels: (N,) int64 into
    class_names; groups: (N,) str, the source of each picture, or None;
    published_split: (N,) "train" / "val" / "test", or None; files: (N,) str,
    paths relative to the data set's folder; found: one row for each file
    found, used or not, with the columns FOUND (what is not known is "" or
    <NA>); facts: N rows from ``manifest.csv``, or None; provenance: name,
    origin, licence, counts, image_size, group_rule, and a SHA-256 over the
    names and bytes of the used files.
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
            f"ImageDataset({self.name}: {len(self)} pictures {shape}, "
            f"{self.n_classes} classes)"
        )

    @property
    def n_classes(self) -> int:
        return len(self.class_names)

    def counts(self) -> np.ndarray:
        """Return the pictures of each class, (C,) int64."""
        return class_counts(self.labels, self.n_classes)

    def of_classes(self, names: Sequence[str]) -> "ImageDataset":
        """Return the pictures of some classes, labelled in that order.

        ``found`` keeps every file; provenance notes the classes.  Raises
        ValueError where fewer than two different classes are named, or one
        that is not here.
        """
        unknown = [name for name in names if name not in self.class_names]
        if unknown or len(set(names)) < max(len(names), 2):
            raise ValueError(
                f"classes: expected two or more of {self.class_names}, each "
                f"once, got {tuple(names)}"
            )
        new = np.full(self.n_classes, -1)
        for label, name in enumerate(names):
            new[self.class_names.index(name)] = label
        rows = np.flatnonzero(new[self.labels] >= 0)
        images = self.images[rows]
        images.flags.writeable = False
        facts = self.facts
        if facts is not None:
            facts = facts.iloc[rows].reset_index(drop=True)
        return replace(
            self,
            images=images,
            labels=new[self.labels[rows]],
            class_names=tuple(names),
            groups=_at(self.groups, rows),
            published_split=_at(self.published_split, rows),
            files=self.files[rows],
            facts=facts,
            provenance={**self.provenance, "classes": ", ".join(names)},
        )

    def with_at_least(self, n: int) -> tuple["ImageDataset", str]:
        """Leave out the classes with fewer than n pictures, and say so.

        Returns the data set and a sentence with the names of those classes,
        "" where there are none. Raises ValueError where fewer than two
        classes are left.
        """
        enough = self.counts() >= n
        if enough.all():
            return self, ""
        few = ", ".join(
            f"'{name}' ({count})"
            for name, count in zip(
                self.class_names, self.counts(), strict=True
            )
            if count < n
        )
        if enough.sum() < 2:
            raise ValueError(
                f"classes with fewer than {n} images: {few}; add images to "
                "them, or nothing can be compared"
            )
        kept = [self.class_names[k] for k in np.flatnonzero(enough)]
        return self.of_classes(kept), (
            f"Classes with fewer than {n} images are left out: {few}. Add "
            "images to study them."
        )


def _at(values: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[rows]
