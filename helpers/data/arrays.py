"""A data set of pictures that come as arrays rather than as files."""

import hashlib

import numpy as np
import pandas as pd

from helpers.data.dataset import ImageDataset


def from_arrays(
    name: str,
    images,
    labels,
    class_names: tuple[str, ...],
    published_split=None,
    **known,
) -> ImageDataset:
    """Build an ``ImageDataset`` without sources from arrays in memory.

    images: (N, H, W, 3) uint8; labels: (N,) integers into class_names;
    published_split: (N,) "train" / "val" / "test", or None; known: what else
    belongs into provenance (origin, licence, ...).

    A picture is named by its part and its place in it ("train/17"), and
    ``found`` lists it under that name with the SHA-256 of its pixels; what
    only a file has (format, mode, perceptual hash) is "" or <NA>.
    """
    images = np.ascontiguousarray(images)
    labels = np.asarray(labels).astype(np.int64)
    split = np.full(len(labels), name)
    if published_split is not None:
        split = np.asarray(published_split, dtype=str)
    place = pd.Series(split).groupby(split).cumcount().astype(str)
    files = (split + np.array("/") + place.to_numpy(str)).astype(str)
    found = pd.DataFrame(
        {
            "file": files,
            "class": np.array(class_names)[labels],
            "split": "" if published_split is None else split,
            "source": "",
            "used": True,
            "reason": "",
            "mistyped": False,
            "width": images.shape[2],
            "height": images.shape[1],
            "format": "",
            "mode": "",
            "sha256": [hashlib.sha256(image).hexdigest() for image in images],
            "phash": pd.NA,
        }
    ).astype({"width": "Int64", "height": "Int64", "phash": "UInt64"})
    digest = hashlib.sha256(images)
    digest.update(labels.astype("<i8").tobytes())
    images.flags.writeable = False
    return ImageDataset(
        name=name,
        images=images,
        labels=labels,
        class_names=tuple(class_names),
        groups=None,
        published_split=None if published_split is None else split,
        files=files,
        found=found,
        facts=None,
        provenance={
            "name": name,
            **known,
            "found": len(labels),
            "used": len(labels),
            "left_out": 0,
            "image_size": images.shape[1],
            "group_rule": None,
            "sha256": digest.hexdigest(),
        },
    )
