"""What is wrong with a folder of images, as one table and in detail."""

import numpy as np
import pandas as pd
from PIL import Image

from helpers.data.dataset import ImageDataset
from helpers.data.image_folder import REASONS

MAX_DISTANCE = 4
"""Bits of 64 by which the perceptual hashes of near duplicates may differ."""

MAX_DIFFERENCE = 10.0
"""Grey levels (of 255) by which their thumbnails may differ on average."""

TOO_FEW = 10
"""Below this number a tenth of a class is less than one image or source."""

_MEANINGS = {
    "files found": "used + left out, with a table's rows without a file",
    "used": "what the study sees",
    **{f"left out: {reason}": means for reason, means in REASONS.items()},
    "used, mis-typed": "of another format than the extension says; rename",
    "exact duplicates": "second and further copies, the same to the byte",
    "exact duplicates with two classes": "one content, two labels",
    "near duplicates": "look like another one and differ in bytes",
    "near duplicates in another class": "look like one with another label",
    "near duplicates of another source": "a split by source may still leak",
    "exact duplicates across the published split": "contents in two sets",
    "near duplicates within a published part": "no leak, but not independent",
    "near duplicates across the published split": "a leak",
    "sources": "the originals that the images come from",
    "sources in two or more published parts": "a leak: split by source",
    "validation images with a sibling in train": "scores are optimistic",
    "test images with a sibling in train": "scores are optimistic",
    "classes with fewer than 10 pictures": "a 10 % test holds none or one",
    "classes with fewer than 10 sources": "use folds by source, not one test",
    "classes missing from a published part": "no score, or nothing to learn",
}
"""What each check of ``audit_report`` means, or what to do about it."""


def near_duplicates(ds: ImageDataset) -> pd.DataFrame:
    """List pairs of used images that look alike but differ in bytes.

    Candidates are pairs whose 64-bit perceptual hashes (DCT, ImageHash's
    ``phash``) differ in at most ``MAX_DISTANCE`` bits. The hash sees coarse
    shapes only: two images with the same black border or two plain areas
    have close hashes, whatever they show. So a pair also has to agree in its
    pixels: the thumbnails of 32 × 32 differ by at most ``MAX_DIFFERENCE``
    grey levels on average. Scaled and recompressed copies are found;
    mirrored, rotated, cropped and much brightened ones are not.

    Columns: first, second (files), distance (bits), difference (grey
    levels), same_class, same_source, same_split (of the published split;
    true where there is none).

    Raises ValueError for a data set without a file for each image.
    """
    used = ds.found[ds.found["used"]]
    if len(used) != len(ds) or used["phash"].isna().any():
        raise ValueError(
            f"{ds.name} has no file for each image that could be audited; "
            "take an image folder"
        )
    hashes = used["phash"].to_numpy(np.uint64)
    pairs = [np.empty((2, 0), int)]
    for i, one in enumerate(hashes):
        close = np.bitwise_count(one ^ hashes[i + 1 :]) <= MAX_DISTANCE
        j = i + 1 + np.flatnonzero(close)
        pairs.append(np.stack([np.full(len(j), i), j]))
    i, j = np.concatenate(pairs, axis=1)
    shown, place = np.unique(np.stack([i, j]), return_inverse=True)
    bilinear = Image.Resampling.BILINEAR
    small = thumbnails(ds.images[shown], 32, bilinear).astype(np.int16)
    difference = np.array(
        [np.abs(np.subtract(*small[pair])).mean() for pair in place.T]
    )
    content = used["sha256"].to_numpy()
    keep = (difference <= MAX_DIFFERENCE) & (content[i] != content[j])
    i, j = i[keep], j[keep]
    pairs = {
        "first": ds.files[i],
        "second": ds.files[j],
        "distance": np.bitwise_count(hashes[i] ^ hashes[j]).astype(int),
        "difference": difference[keep],
    }
    for column in ("class", "source", "split"):
        values = used[column].to_numpy()
        pairs[f"same_{column}"] = values[i] == values[j]
    return pd.DataFrame(pairs)


def audit_report(ds: ImageDataset) -> pd.DataFrame:
    """Check a data set and return one row for each check.

    Columns: check, count, share (of the found files above "used", of the
    used ones, sources or test images as the check says; else NaN), meaning.
    Rows on sources, on the published split or on near duplicates are there
    where the data set has sources, a split or a file for each image.
    """
    found, n, none = ds.found, len(ds), np.nan
    groups = ds.files if ds.groups is None else ds.groups
    split = (
        np.full(n, "") if ds.published_split is None else ds.published_split
    )
    used = found[found["used"]]
    reasons = found.loc[~found["used"], "reason"].value_counts()
    contents = used.groupby("sha256")
    pairs = ["first", "second", "same_class", "same_source", "same_split"]
    near = pd.DataFrame(columns=pairs, dtype=bool)
    with_files = len(used) == n and used["phash"].notna().all()
    if with_files:
        near = near_duplicates(ds)

    def several(column: str) -> int:
        return (contents[column].nunique() > 1).sum()

    def files(which: pd.Series) -> int:
        return near.loc[which, ["first", "second"]].stack().nunique()

    n_sources = len(np.unique(groups))
    shared = (pd.Series(split).groupby(groups).nunique() > 1).sum()
    trained = np.isin(groups, groups[split == "train"])
    val, test = split == "val", split == "test"
    few = pd.Series(groups).groupby(ds.labels).nunique() < TOO_FEW
    absent = (pd.crosstab(ds.labels, split) == 0).any(axis=1)
    classes = {
        f"classes with fewer than {TOO_FEW} pictures": ds.counts() < TOO_FEW,
        f"classes with fewer than {TOO_FEW} sources": few.to_numpy(),
        "classes missing from a published part": absent.to_numpy(),
    }
    # (count, of how many), in the order of _MEANINGS.
    rows = [
        (len(found), len(found)),
        (len(used), len(found)),
        *((reasons.get(reason, 0), len(found)) for reason in REASONS),
        (used["mistyped"].sum(), n),
        (len(used) - contents.ngroups, n),
        (several("class"), none),
        (files(near["first"] != ""), n),
        (files(~near["same_class"]), n),
        (files(~near["same_source"]), n),
        (several("split"), none),
        (files(near["same_split"]), n),
        (files(~near["same_split"]), n),
        (n_sources, none),
        (shared, n_sources),
        ((val & trained).sum(), val.sum() or none),
        ((test & trained).sum(), test.sum() or none),
        *((which.sum(), ds.n_classes) for which in classes.values()),
    ]
    table = pd.DataFrame(rows, columns=["count", "of"])
    table.insert(0, "check", list(_MEANINGS))
    table["share"] = table["count"] / table.pop("of")
    meanings = dict(_MEANINGS)
    for check, which in classes.items():
        if which.any():
            named = ", ".join(np.asarray(ds.class_names)[which])
            meanings[check] = f"{named}: {meanings[check]}"
    table["meaning"] = table["check"].map(meanings)
    if ds.groups is None:
        table = table[~table["check"].str.contains("source|sibling")]
    if ds.published_split is None:
        table = table[~table["check"].str.contains("publish|sibling")]
    if not with_files:
        table = table[~table["check"].str.contains("near duplicates")]
    return table.reset_index(drop=True)


def thumbnails(
    images: np.ndarray, side: int, how=Image.Resampling.BOX
) -> np.ndarray:
    """Shrink images, by default to the means of side x side boxes.

    images: uint8 (N, H, W, 3). Returns float32 (N, side, side, 3), 0-255.
    """
    small = np.empty((len(images), side, side, 3), np.float32)
    for row, image in zip(small, images, strict=True):
        row[:] = Image.fromarray(image).resize((side, side), how)
    return small
