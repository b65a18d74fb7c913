"""What is wrong with a folder of pictures, as one table and in detail."""

import numpy as np
import pandas as pd
from PIL import Image

from helpers.data.dataset import ImageDataset
from helpers.data.image_file import REASONS
from helpers.data.image_folder import OUTSIDE

MAX_DISTANCE = 4
"""Bits of 64 by which the perceptual hashes of near duplicates may differ."""

MAX_DIFFERENCE = 10.0
"""Grey levels (of 255) by which their thumbnails may differ on average."""

TOO_FEW = 10
"""Below this number a tenth of a class is less than one picture or source."""


def used_files(ds: ImageDataset) -> pd.DataFrame:
    """Return the rows of ``ds.found`` that belong to the images, in order.

    Raises ValueError for a data set without a file for each image.
    """
    used = ds.found[ds.found["used"]].reset_index(drop=True)
    if len(used) != len(ds) or used["phash"].isna().any():
        raise ValueError(
            f"{ds.name} has no file for each image that could be audited; "
            "take an image folder"
        )
    return used


def left_out(ds: ImageDataset) -> pd.DataFrame:
    """List every file that was found and not used: file, class, reason."""
    rows = ds.found[~ds.found["used"]]
    return rows[["file", "class", "reason"]].reset_index(drop=True)


def duplicates(ds: ImageDataset) -> pd.DataFrame:
    """List the used files that are the same to the byte as another one.

    Columns: set (a number for each distinct content), file, class, split,
    source; in the order of set and file.
    """
    used = ds.found[ds.found["used"]]
    rows = used[used.duplicated("sha256", keep=False)].copy()
    rows["set"] = pd.factorize(rows["sha256"])[0]
    rows = rows.sort_values(["set", "file"])
    columns = ["set", "file", "class", "split", "source"]
    return rows[columns].reset_index(drop=True)


def near_duplicates(
    ds: ImageDataset,
    max_distance: int = MAX_DISTANCE,
    max_difference: float = MAX_DIFFERENCE,
) -> pd.DataFrame:
    """List pairs of used pictures that look alike but differ in bytes.

    Candidates are pairs whose 64-bit perceptual hashes (DCT, ImageHash's
    ``phash``) differ in at most max_distance bits. The hash sees coarse
    shapes only: two pictures with the same black border or two plain areas
    have close hashes, whatever they show. So a pair also has to agree in its
    pixels: the thumbnails of 32 × 32 differ by at most max_difference grey
    levels on average. Scaled and recompressed copies are found; mirrored,
    turned, cropped and much brightened ones are not.

    Columns: first, second (files), distance (bits), difference (grey
    levels), same_class, same_source, same_split (of the published split;
    true where there is none).
    """
    used = used_files(ds)
    i, j, distance = _close_pairs(
        used["phash"].to_numpy(np.uint64), max_distance
    )
    difference = _differences(ds.images, i, j)
    content = used["sha256"].to_numpy()
    keep = (difference <= max_difference) & (content[i] != content[j])
    i, j = i[keep], j[keep]

    def same(column: str) -> np.ndarray:
        values = pd.factorize(used[column])[0]
        return values[i] == values[j]

    return pd.DataFrame(
        {
            "first": used["file"].to_numpy()[i],
            "second": used["file"].to_numpy()[j],
            "distance": distance[keep].astype(np.int64),
            "difference": difference[keep],
            "same_class": same("class"),
            "same_source": same("source"),
            "same_split": same("split"),
        }
    )


def audit(ds: ImageDataset) -> pd.DataFrame:
    """Check a data set and return one row for each check.

    Columns: check, count, share (of the found files above "used", of the
    used ones, sources or test images as the check says; else NaN), meaning.
    Rows on sources or on the published split are there where the data set
    has them.
    """
    rows = [*_file_rows(ds), *_duplicate_rows(ds)]
    if ds.groups is not None:
        rows += _source_rows(ds)
    rows += _class_rows(ds)
    table = pd.DataFrame(rows, columns=["check", "count", "of", "meaning"])
    table["share"] = table["count"] / table.pop("of").astype("float64")
    return table[["check", "count", "share", "meaning"]]


def _file_rows(ds: ImageDataset) -> list[tuple]:
    found = ds.found
    n, used = len(found), found["used"]
    reasons = found.loc[~used, "reason"].value_counts()
    return [
        ("files found", n, n, "used + left out"),
        ("used", int(used.sum()), n, "what the study sees"),
        *(
            (f"left out: {r}", int(reasons.get(r, 0)), n, _MEANINGS[r])
            for r in (OUTSIDE, *REASONS)
        ),
        (
            "used, mis-typed",
            int(found.loc[used, "mistyped"].sum()),
            int(used.sum()),
            "content of another format than the extension says; rename",
        ),
    ]


def _duplicate_rows(ds: ImageDataset) -> list[tuple]:
    n = len(ds)
    exact = duplicates(ds)
    sets = exact.groupby("set")
    near = near_duplicates(ds)

    def files(pairs: pd.DataFrame) -> int:
        return pd.concat([pairs["first"], pairs["second"]]).nunique()

    rows = [
        (
            "exact duplicates",
            len(exact) - sets.ngroups,
            n,
            "second and further copies, the same to the byte",
        ),
        (
            "exact duplicates with two classes",
            int((sets["class"].nunique() > 1).sum()),
            None,
            "one content, two labels: one is wrong",
        ),
        (
            "near duplicates",
            files(near),
            n,
            "pictures that look like another (hash and thumbnail) and "
            "differ in bytes",
        ),
        (
            "near duplicates in another class",
            files(near[~near["same_class"]]),
            n,
            "pictures that look like one with another label",
        ),
    ]
    if ds.groups is not None:
        rows.append(
            (
                "near duplicates of another source",
                files(near[~near["same_source"]]),
                n,
                "sources that may be one: a split by source may still leak",
            )
        )
    if ds.published_split is not None:
        rows += [
            (
                "exact duplicates across the published split",
                int((sets["split"].nunique() > 1).sum()),
                None,
                "contents that lie in two parts",
            ),
            (
                "near duplicates within a published part",
                files(near[near["same_split"]]),
                n,
                "no leak, but not independent",
            ),
            (
                "near duplicates across the published split",
                files(near[~near["same_split"]]),
                n,
                "pictures that look like one in another part: a leak",
            ),
        ]
    return rows


def _source_rows(ds: ImageDataset) -> list[tuple]:
    sources = np.unique(ds.groups)
    rows = [
        (
            "sources",
            len(sources),
            None,
            f"{len(ds)} pictures come from so many originals",
        )
    ]
    if ds.published_split is None:
        return rows
    split = pd.Series(ds.published_split)
    shared = split.groupby(ds.groups).nunique() > 1
    rows.append(
        (
            "sources in two or more published parts",
            int(shared.sum()),
            len(sources),
            "copies of one original on both sides: split by source",
        )
    )
    trained = np.isin(ds.groups, ds.groups[ds.published_split == "train"])
    for part, words in (("val", "validation"), ("test", "test")):
        inside = ds.published_split == part
        rows.append(
            (
                f"{words} images with a sibling in train",
                int((inside & trained).sum()),
                int(inside.sum()) or None,
                "the network has seen their source: scores are optimistic",
            )
        )
    return rows


def _class_rows(ds: ImageDataset) -> list[tuple]:
    names = np.asarray(ds.class_names)
    rows = []

    def add(check: str, which: np.ndarray, advice: str) -> None:
        listed = ", ".join(names[which])
        meaning = f"{listed}: {advice}" if listed else advice
        rows.append((check, int(which.sum()), len(names), meaning))

    add(
        f"classes with fewer than {TOO_FEW} pictures",
        ds.counts() < TOO_FEW,
        "a 10 % test would hold none or one",
    )
    if ds.groups is not None:
        sources = pd.Series(ds.groups).groupby(ds.labels).nunique()
        add(
            f"classes with fewer than {TOO_FEW} sources",
            sources.to_numpy() < TOO_FEW,
            "use folds by source, not a single 10 % test",
        )
    if ds.published_split is not None:
        table = pd.crosstab(ds.labels, ds.published_split)
        add(
            "classes missing from a published part",
            (table == 0).any(axis=1).to_numpy(),
            "no score there, or nothing to learn from",
        )
    return rows


_MEANINGS = dict(
    zip(
        (OUTSIDE, *REASONS),
        (
            "READMEs and the like; move pictures into their class's folder",
            "files of the operating system or of an editor",
            "the file it points to is not there",
            "an extension that is not read; convert if it is a picture",
            "an empty file; download it again",
            "damaged, or of a format that is not read, whatever its "
            "extension; convert it or download it again",
            "the file ends too early; download it again",
            "an icon or a thumbnail",
            "an image bomb or a scan; scale it down",
            "the name has letters in another encoding; rename the file",
            "the system refuses to open it; check its permissions",
            "a sound image with more than 1 MB of text or colour profile; "
            "save it without",
        ),
        strict=True,
    )
)


def _close_pairs(hashes: np.ndarray, max_distance: int):
    """Compare all hashes, a block of rows at a time to bound the memory."""
    firsts, seconds, distances = [], [], []
    block = 256
    for start in range(0, len(hashes), block):
        rows = hashes[start : start + block, None]
        distance = np.bitwise_count(rows ^ hashes[None, start:])
        i, j = np.nonzero(distance <= max_distance)
        later = j > i
        firsts.append(i[later] + start)
        seconds.append(j[later] + start)
        distances.append(distance[i[later], j[later]])
    if not firsts:
        empty = np.empty(0, np.int64)
        return empty, empty, empty
    return tuple(map(np.concatenate, (firsts, seconds, distances)))


def _differences(images, i, j) -> np.ndarray:
    """Return the mean absolute difference of the thumbnails of each pair."""
    seen, place = np.unique(np.concatenate([i, j]), return_inverse=True)
    bilinear = Image.Resampling.BILINEAR
    small = np.zeros((len(seen), 32, 32, 3), np.int16)
    for k, index in enumerate(seen):
        small[k] = Image.fromarray(images[index]).resize((32, 32), bilinear)
    first, second = np.split(place, 2)
    gap = np.empty(len(i))
    for k, (a, b) in enumerate(zip(first, second, strict=True)):
        gap[k] = np.abs(small[a] - small[b]).mean()
    return gap
