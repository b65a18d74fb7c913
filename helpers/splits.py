"""Divide pictures into train, validation and test, at random or by source.

By source, the *sources* of each class are dealt to the parts. scikit-learn's
``StratifiedGroupKFold`` is not used: it places large sources before small
ones in a fixed order and shuffles only ties, so that on data with uneven
copies a source its "reshuffles" hardly differ in the large classes, and it
leaves classes out of folds where sources are few.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

FRACTIONS = (0.7, 0.2, 0.1)
"""Train, validation and test of the acne paper."""

PART_NAMES = ("train", "val", "test")

# Random deals among which the one with the best proportions is taken.
_DEALS = 2000
# New starts where sources that hold several classes leave one out of a part.
_ATTEMPTS = 20


@dataclass(frozen=True, eq=False)
class Split:
    """Three sets of indices that share no picture.

    train, val, test: sorted int64 index vectors; seed: None where nothing
    was drawn.
    """

    name: str
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    seed: int | None

    def parts(self) -> dict[str, np.ndarray]:
        """Return the three index vectors by name, in that order."""
        return {part: getattr(self, part) for part in PART_NAMES}


def stratified(
    labels, seed: int, fractions=FRACTIONS, name: str = "random"
) -> Split:
    """Split each class at random, whatever its pictures' sources.

    labels: (N,) integers. Each part's share of a class is within one picture
    of its fraction, and at least one. Raises ValueError for a class with
    fewer pictures than parts.
    """
    part = _deal(labels, None, _checked_fractions(fractions), seed)
    return _split(name, [part == k for k in range(3)], seed)


def by_source(labels, groups, seed: int, fractions=FRACTIONS) -> Split:
    """Split each class by source: no source is in two parts.

    labels, groups: (N,) integers and source keys. The *number of sources* of
    a class in each part is exact up to rounding and at least one; among
    random deals of that kind, the one whose numbers of *pictures* come
    closest to the fractions is taken. A source with several classes is dealt
    with the class of most of its pictures.

    Raises ValueError where a class has fewer sources than parts.
    """
    part = _deal(labels, groups, _checked_fractions(fractions), seed)
    return _split("by source", [part == k for k in range(3)], seed)


def published(published_split) -> Split:
    """Take the split that the data set came with.

    published_split: (N,) of "train", "val", "test". Raises ValueError where
    there is none, or one without pictures in a part: a set published with
    train and test only has no validation part to choose a model on, and one
    carved out of it would no longer be the published split.
    """
    if published_split is None:
        raise ValueError(
            "this data set has no published split; use stratified or by_source"
        )
    given = np.asarray(published_split)
    masks = [given == part for part in PART_NAMES]
    missing = [
        p for p, m in zip(PART_NAMES, masks, strict=True) if not m.any()
    ]
    if missing:
        raise ValueError(
            f"the published split has no {' and no '.join(missing)} part; "
            "use stratified or by_source, or add the missing folder"
        )
    unknown = ~np.logical_or.reduce(masks)
    if unknown.any():
        raise ValueError(
            "published_split: expected train, val or test, got "
            f"'{given[unknown][0]}'"
        )
    return _split("published", masks, None)


def folds(
    labels, groups, n_folds: int, seed: int, validation: float | None = None
) -> list[Split]:
    """Cross-validation: fold k is test, fold k+1 (cyclic) is validation.

    validation: a share of the images that are not in fold k to take as its
    validation set instead, drawn as the folds are; so more of them train.

    groups: (N,) source keys (no source is in two folds) or None. Each class
    is in each fold, in equal shares as in ``by_source`` or ``stratified``.
    Another seed is another reshuffle. Raises ValueError for fewer than three
    folds or a class with fewer sources (pictures) than folds.
    """
    if n_folds < 3:
        raise ValueError(
            f"n_folds: {n_folds} leaves no fold to train on; use 3 or more"
        )
    fold = _deal(labels, groups, np.full(n_folds, 1 / n_folds), seed)
    splits = []
    for k in range(n_folds):
        test, val = fold == k, fold == (k + 1) % n_folds
        if validation is not None:
            val = np.zeros_like(test)
            rest = np.flatnonzero(~test)
            some = None if groups is None else np.asarray(groups)[rest]
            shares = np.array([1 - validation, validation])
            part = _deal(np.asarray(labels)[rest], some, shares, seed)
            val[rest[part == 1]] = True
        name = f"fold {k + 1} of {n_folds}"
        splits.append(_split(name, [~(test | val), val, test], seed))
    return splits


def leakage(split: Split, groups) -> pd.DataFrame:
    """Count what train knows of the other parts.

    groups: (N,) source keys. Returns a row for val and test (and train, for
    its size): images, sources, and the images whose source is also in train,
    as number ``leaking`` and ``share`` of the part.
    """
    if groups is None:
        raise ValueError(
            "groups is None: load the data with a group_rule to see leakage"
        )
    groups = np.asarray(groups)
    rows = []
    for part, index in split.parts().items():
        of_train = part == "train"
        n = int(np.isin(groups[index], groups[split.train]).sum())
        rows.append(
            {
                "part": part,
                "images": len(index),
                "sources": len(np.unique(groups[index])),
                "leaking": pd.NA if of_train else n,
                "share": n / len(index)
                if len(index) and not of_train
                else np.nan,
            }
        )
    return pd.DataFrame(rows).astype({"leaking": "Int64"})


def class_shares(split: Split, labels, class_names) -> pd.DataFrame:
    """Count each class in each part, one row a class and one for all.

    Returns class, then train, val, test (pictures) and train_share, … (of
    the class's pictures in the split).
    """
    labels = np.asarray(labels)
    counts = np.stack(
        [
            np.bincount(labels[index], minlength=len(class_names))
            for index in split.parts().values()
        ],
        axis=1,
    )
    counts = np.vstack([counts, counts.sum(axis=0)])
    shares = counts / counts.sum(axis=1, keepdims=True)
    table = pd.DataFrame(counts, columns=list(PART_NAMES))
    table.insert(0, "class", [*class_names, "all"])
    table[[f"{part}_share" for part in PART_NAMES]] = shares
    return table


def _split(name: str, masks: list[np.ndarray], seed: int | None) -> Split:
    train, val, test = (np.flatnonzero(m).astype(np.int64) for m in masks)
    return Split(name, train, val, test, seed)


def _checked_fractions(fractions) -> np.ndarray:
    fractions = np.asarray(fractions, float)
    right = fractions.shape == (3,) and (fractions > 0).all()
    if not right or not np.isclose(fractions.sum(), 1):
        raise ValueError(
            "fractions: expected three positive numbers that add up to 1 "
            f"(train, val, test), got {fractions.tolist()}"
        )
    return fractions


def _deal(labels, groups, fractions: np.ndarray, seed: int) -> np.ndarray:
    """Return the (N,) part of each picture, every class in every part."""
    labels = np.asarray(labels)
    unit = "source"
    if groups is None:
        unit, groups = "picture", np.arange(len(labels))
    groups = np.asarray(groups)
    if labels.ndim != 1 or groups.shape != labels.shape:
        raise ValueError(
            f"labels {labels.shape} and groups {groups.shape}: expected two "
            "vectors of one length"
        )
    classes, label = np.unique(labels, return_inverse=True)
    units, group = np.unique(groups, return_inverse=True)
    table = np.zeros((len(units), len(classes)), np.int64)
    np.add.at(table, (group, label), 1)
    for name, n in zip(classes, (table > 0).sum(axis=0), strict=True):
        if n < len(fractions):
            raise ValueError(
                f"class {name} has {n} {unit}{'' if n == 1 else 's'}, too few "
                f"for {len(fractions)} parts; take fewer folds, add data or "
                "leave the class out"
            )
    rng = np.random.default_rng(seed)
    for _ in range(_ATTEMPTS):
        part = _deal_units(table, fractions, rng)
        held = np.zeros((len(fractions), len(classes)), np.int64)
        np.add.at(held, part, table)
        if (held > 0).all():
            return part[group]
    lacking = classes[(held == 0).any(axis=0)]
    raise ValueError(
        f"no way found to have class {', '.join(map(str, lacking))} in each "
        f"of {len(fractions)} parts: its sources also hold other classes; "
        "take fewer folds or another group rule"
    )


def _deal_units(table, fractions, rng) -> np.ndarray:
    """Deal sources to parts: table (U, C) pictures -> (U,) part."""
    part = np.empty(len(table), np.int64)
    home, size = table.argmax(axis=1), table.sum(axis=1)
    for name in np.unique(home):
        members = np.flatnonzero(home == name)
        quota = _quota(len(members), fractions, rng)
        hand = np.repeat(np.arange(len(fractions)), quota)
        # Where all units are of one size every deal is as good as the next.
        n_deals = _DEALS if np.ptp(size[members]) else 1
        deals = rng.permuted(np.tile(hand, (n_deals, 1)), axis=1)
        want = fractions * size[members].sum()
        misfit = sum(
            ((deals == k) @ size[members] - want[k]) ** 2 / want[k]
            for k in range(len(fractions))
        )
        part[members] = deals[misfit.argmin()]
    return part


def _quota(n: int, fractions, rng) -> np.ndarray:
    """Share n units by largest remainder, where n allows one each at least.

    Ties are broken at random: else the first folds would always be larger.
    """
    quota = np.floor(n * fractions + 1e-9).astype(np.int64)
    order = rng.permutation(len(fractions))
    rest = (n * fractions - quota)[order].round(9)
    quota[order[np.argsort(-rest, kind="stable")[: n - quota.sum()]]] += 1
    while n >= len(fractions) and (quota == 0).any():
        quota[quota.argmin()] += 1
        quota[quota.argmax()] -= 1
    return quota
