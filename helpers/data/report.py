"""What a data set holds, and how it can be divided, in sentences."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd

from helpers.data.dataset import ImageDataset
from helpers.data.groups import NEAR, regroup
from helpers.data.image_folder import REASONS
from helpers.data.labels_table import READ, ROWS
from helpers.imbalance import folds, imbalance_ratio
from helpers.imbalance.splits import SETS, Impossible, ways

MOST_FOLDS = 5

_MAY = re.compile(
    "patient|lesion|subject|person|case|slide|study|source|photo|group", re.I
)


def report(ds: ImageDataset) -> list[str]:
    """Say what a data set holds, what is left out, and how it can be split.

    Returns sentences: images, classes and the imbalance ratio; the table of
    labels; the groups, and columns of the table that may be groups; a line a
    reason for files and rows left out; the splits that are possible, and
    where none by group is, what to do.
    """
    names, counts = np.array(ds.class_names), ds.counts()
    order = np.argsort(-counts, kind="stable")
    shown = [f"{names[c]} {counts[c]}" for c in order]
    if len(shown) > 12:
        shown[6:-6] = ["…"]
    lines = [
        f"{len(ds)} images of {ds.n_classes} classes: {', '.join(shown)}. "
        f"Imbalance ratio ρ = {imbalance_ratio(counts):.2f}."
    ]
    if table := ds.provenance.get("labels_from"):
        lines.append(
            f"Labels come from {table}. Where that is wrong, set LABELS, "
            "FILE_COLUMN or LABEL_COLUMN."
        )
    lines += [*_groups(ds), *_left_out(ds), *_splits(ds)]
    return lines


def foldable(ds: ImageDataset) -> tuple[ImageDataset, int, list[str]]:
    """Make a data set that can be divided into folds by group.

    Classes with fewer than three images are left out, then those with fewer
    than three groups. Where no folds can be made all the same, each image
    becomes its own group.

    Returns the data set, the number of folds, 3 to ``MOST_FOLDS``, and a
    sentence for each thing that was done. Raises ValueError where fewer than
    two classes have three images.
    """
    ds, note = ds.with_at_least(3)
    notes = [note] if note else []
    if n := _n_folds(ds):
        return ds, n, notes
    of_class = dict(zip(ds.class_names, _groups_of(ds), strict=True))
    few = [f"'{name}' ({n})" for name, n in of_class.items() if n < 3]
    kept = [name for name, n in of_class.items() if n >= 3]
    if len(kept) > 1 and (n := _n_folds(ds.of_classes(kept))):
        left_out = f"left out: {', '.join(few)}. Add sources to study them."
        notes.append(f"Classes with fewer than 3 sources are {left_out}")
        return ds.of_classes(kept), n, notes
    notes.append(
        f"No folds by source: {_impossible(ds, 3)}. Each image counts as its "
        "own source instead, so that copies may leak: its scores are too good "
        "then."
    )
    alone = replace(regroup(ds, None), groups=ds.files)
    return alone, _n_folds(alone), notes


def _groups_of(ds: ImageDataset) -> np.ndarray:
    """Count the groups of each class, (C,); images where there are none."""
    groups = ds.files if ds.groups is None else ds.groups
    return pd.Series(groups).groupby(ds.labels).nunique().to_numpy()


def _impossible(ds: ImageDataset, n_folds: int) -> str:
    """Return why there are no such folds by group, "" where there are."""
    if ds.groups is None:
        return "this data set does not tell the sources"
    try:
        folds(ds.labels, ds.groups, n_folds, 0, class_names=ds.class_names)
    except Impossible as why:
        return str(why)
    return ""


def _n_folds(ds: ImageDataset) -> int:
    able = range(min(MOST_FOLDS, _groups_of(ds).min()), 2, -1)
    return next((n for n in able if not _impossible(ds, n)), 0)


def _groups(ds: ImageDataset) -> list[str]:
    rule = str(ds.provenance["group_rule"])
    if ds.groups is None:
        lines = ["Sources: this data set does not tell them."]
    else:
        sizes, of_class = pd.Series(ds.groups).value_counts(), _groups_of(ds)
        how = "the file names" if rule == "roboflow" else f"'{rule}'"
        lines = [
            f"{len(sizes)} sources by {how}; the largest, {sizes.index[0]}, "
            f"has {sizes.iloc[0]} images; {ds.class_names[of_class.argmin()]} "
            f"has the fewest sources, {of_class.min()}."
        ]
        if sizes.iloc[0] == 1:
            lines.append(
                "So each image is a source of its own. If several show one "
                "patient or one original, say so by GROUPS: a column, an "
                f"expression on the path, or '{NEAR}'."
            )
    new, groups = [], ds.files if ds.groups is None else ds.groups
    for column, values in pd.DataFrame(ds.facts).sort_index(axis=1).items():
        n, empty = values.nunique(), (values == "").sum()
        is_rule = column in rule.split(" + ")
        if is_rule and empty:
            lines.append(
                f"{empty} images have no {column}: each is a source of its "
                "own there, which leaks where it is not true."
            )
        # Neither one value an image, nor what the groups are already.
        may = not is_rule and _MAY.search(column) and 1 < n < len(ds)
        if may and len({*zip(values, groups, strict=True)}) != n:
            new.append(f"{column} ({n} values)")
    if new:
        lines.append(f"Columns to try as GROUPS: {', '.join(new)}.")
    return lines


def _left_out(ds: ImageDataset) -> list[str]:
    out = ds.found[~ds.found["used"]]
    n_files = (~ds.found["reason"].isin(ROWS)).sum()
    lines = [f"{len(ds.found) - len(out)} of {n_files} files are used."]
    out = out[out["reason"] != READ]
    for reason, files in out.groupby("reason", sort=False)["file"]:
        some = ", ".join(files[:3]) + ", …" * (len(files) > 3)
        advice = REASONS.get(reason, "not used")
        lines.append(f"Left out, {reason}: {len(files)} ({some}): {advice}.")
    return lines


def _splits(ds: ImageDataset) -> list[str]:
    try:
        ds, note = ds.with_at_least(3)
    except ValueError as why:
        return [f"No split is possible: {why}."]
    made, left_out = ways(ds, 0)
    able = {"random": "at random"}
    if n := _n_folds(ds):
        able["by source"] = f"by source (up to {n} folds)"
    if "published" in made:
        sets = made["published"].sets().items()
        sizes = [f"{SETS[key]} {len(rows)}" for key, rows in sets]
        able["published"] = f"published ({', '.join(sizes)} images)"
    lines = [f"Possible splits: {', '.join(able.values())}."]
    lines += [note] * bool(note) + [*left_out.values()]
    if not n:
        what = "set GROUPS"
        if ds.groups is not None:
            what += ", add sources, or leave the class out, by a dot before "
            what += "its folder's name or by removing its rows"
        lines.append(
            "A score at random then holds for other images of the same "
            f"sources only. To split by source, {what}."
        )
    return lines
