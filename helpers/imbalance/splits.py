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
from scipy.optimize import LinearConstraint, milp
from scipy.sparse import csr_array, eye_array, kron, vstack

FRACTIONS = (0.7, 0.2, 0.1)
"""Train, validation and test of the acne paper."""

PART_NAMES = ("train", "val", "test")

_SETS = {"train": "training", "val": "validation", "test": "test"}

# Random deals among which the one with the best proportions is taken.
_DEALS = 2000
# New starts where sources that hold several classes leave one out of a part.
_ATTEMPTS = 20
# Branches of the search for a deal where chance has found none: a number and
# no time, so that the answer is the same on every machine.
_NODES = 5_000


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


class Impossible(ValueError):
    """The data allow no such split; the message says why and what to do."""


def ways(ds, seed: int) -> tuple[dict[str, Split], dict[str, str]]:
    """Split a data set in each of the three ways that it allows.

    Returns the splits "random" (``stratified``), "by source" (``by_source``)
    and "published"; and, for each of the last two that cannot be made, a
    sentence that says why. A published split counts only where each of its
    sets holds every class; where none came with the data there is nothing to
    say. Raises Impossible for a class that cannot even be split at random.
    """
    names, left_out = ds.class_names, {}
    made = {"random": stratified(ds.labels, seed, class_names=names)}
    try:
        if ds.groups is None:
            raise Impossible("this data set does not tell the sources")
        made["by source"] = by_source(
            ds.labels, ds.groups, seed, class_names=names
        )
    except Impossible as why:
        left_out["by source"] = f"The split by source is left out: {why}."
    if ds.published_split is not None:
        try:
            split = published(ds.published_split)
            if gaps := lacking(split, ds.labels, names):
                raise Impossible(gaps)
            made["published"] = split
        except Impossible as why:
            left_out["published"] = f"The published split is left out: {why}."
    return made, left_out


def lacking(split: Split, labels, class_names) -> str:
    """Name the classes that a set of the split lacks; "" where none does."""
    table = class_shares(split, labels, class_names).iloc[:-1]
    gaps = [
        f"the {_SETS[part]} set has no image of "
        + ", ".join(f"'{name}'" for name in table["class"][table[part] == 0])
        for part in PART_NAMES
        if (table[part] == 0).any()
    ]
    return " and ".join(gaps)


def stratified(
    labels,
    seed: int,
    fractions=FRACTIONS,
    name: str = "random",
    *,
    class_names=None,
) -> Split:
    """Split each class at random, whatever its pictures' sources.

    labels: (N,) integers. Each part's share of a class is within one picture
    of its fraction, and at least one. class_names: (C,) names for errors;
    without them a class is called by its number. Raises Impossible for a
    class with fewer pictures than parts.
    """
    fractions = _checked_fractions(fractions)
    part = _deal(labels, None, fractions, seed, class_names)
    return _split(name, [part == k for k in range(3)], seed)


def by_source(
    labels, groups, seed: int, fractions=FRACTIONS, *, class_names=None
) -> Split:
    """Split each class by source: no source is in two parts.

    labels, groups: (N,) integers and source keys. The *number of sources* of
    a class in each part is exact up to rounding and at least one; among
    random deals of that kind, the one whose numbers of *pictures* come
    closest to the fractions is taken. A source with several classes is dealt
    with the class of most of its pictures; where such deals leave a class out
    of a part, a deal with every class in every part is searched for, and
    moved as close to the fractions as single sources allow. class_names: as
    for ``stratified``.

    Raises Impossible where a class has fewer sources than parts, and where
    no deal has every class in every part.
    """
    fractions = _checked_fractions(fractions)
    part = _deal(labels, groups, fractions, seed, class_names)
    return _split("by source", [part == k for k in range(3)], seed)


def published(published_split) -> Split:
    """Take the split that the data set came with.

    published_split: (N,) of "train", "val", "test". Raises Impossible where
    there is none, or one without pictures in a part: a set published with
    train and test only has no validation part to choose a model on, and one
    carved out of it would no longer be the published split.
    """
    if published_split is None:
        raise Impossible(
            "this data set has no published split; split it at random or by "
            "source"
        )
    given = np.asarray(published_split)
    masks = [given == part for part in PART_NAMES]
    missing = [
        p for p, m in zip(PART_NAMES, masks, strict=True) if not m.any()
    ]
    if missing:
        sets = " and no ".join(f"{_SETS[part]} set" for part in missing)
        folders = " and ".join(f"{part}/" for part in missing)
        raise Impossible(
            f"no {sets} is published (an image folder may add {folders})"
        )
    unknown = ~np.logical_or.reduce(masks)
    if unknown.any():
        raise ValueError(
            "published_split: expected train, val or test, got "
            f"'{given[unknown][0]}'"
        )
    return _split("published", masks, None)


def folds(
    labels,
    groups,
    n_folds: int,
    seed: int,
    validation: float | None = None,
    *,
    class_names=None,
) -> list[Split]:
    """Cross-validation: fold k is test, fold k+1 (cyclic) is validation.

    validation: a share of the images that are not in fold k to take as its
    validation set instead, drawn as the folds are; so more of them train.

    groups: (N,) source keys (no source is in two folds) or None. Each class
    is in each fold, in equal shares as in ``by_source`` or ``stratified``.
    Another seed is another reshuffle. class_names: as for ``stratified``.
    Raises ValueError for fewer than three folds; Impossible for a class with
    fewer sources (pictures) than folds, and where no deal of the sources has
    every class in every fold.
    """
    if n_folds < 3:
        raise ValueError(
            f"n_folds: {n_folds} leaves no fold to train on; use 3 or more"
        )
    fractions = np.full(n_folds, 1 / n_folds)
    fold = _deal(labels, groups, fractions, seed, class_names)
    splits = []
    for k in range(n_folds):
        test, val = fold == k, fold == (k + 1) % n_folds
        if validation is not None:
            val = np.zeros_like(test)
            rest = np.flatnonzero(~test)
            some = None if groups is None else np.asarray(groups)[rest]
            shares = np.array([1 - validation, validation])
            part = _deal(
                np.asarray(labels)[rest], some, shares, seed, class_names
            )
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


def _deal(labels, groups, fractions, seed: int, class_names) -> np.ndarray:
    """Return the (N,) part of each picture, every class in every part."""
    labels = np.asarray(labels)
    unit = "source"
    if groups is None:
        unit, groups = "image", np.arange(len(labels))
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
    if class_names is None:
        names = classes.astype(str)
    else:
        names = [f"'{class_names[c]}'" for c in classes]
    k = len(fractions)
    n_units = (table > 0).sum(axis=0)
    few = [
        f"class {name} has {n} {unit}{'' if n == 1 else 's'}"
        for name, n in zip(names, n_units, strict=True)
        if n < k
    ]
    if few:
        advice = f"add {unit}s or leave the class out"
        if n_units.min() >= 3:
            advice = f"take {n_units.min()} folds, {advice}"
        raise Impossible(
            f"{' and '.join(few)}, too few for {k} "
            f"{'sets' if k <= 3 else 'folds'}; {advice}"
        )
    rng = np.random.default_rng(seed)
    for _ in range(_ATTEMPTS):
        part = _deal_units(table, fractions, rng)
        if (_held(table, part, k) > 0).all():
            return part[group]
    part = _search(table > 0, k, rng)
    if part is None:
        raise Impossible(
            f"no way found to have every class in each of {k} "
            f"{'sets' if k <= 3 else 'folds'}, because a source may hold "
            "several classes; take fewer folds, another group rule, or leave "
            "out a class of few sources"
        )
    return _improve(table, part, fractions, rng)[group]


def _held(table, part, n_parts: int) -> np.ndarray:
    """Count the pictures of each class in each part: (K, C)."""
    held = np.zeros((n_parts, table.shape[1]), np.int64)
    np.add.at(held, part, table)
    return held


def _search(holds, n_parts: int, rng) -> np.ndarray | None:
    """Deal sources so that every class is in every part, or return None.

    holds: (U, C) bool, the classes of each source. An integer program:
    x[u, k] = 1 where source u is dealt to part k, with random costs, so that
    another seed finds another deal. The solver either finds a deal or proves
    that there is none, unless it reaches its limit of branches.
    """
    n_units, k = len(holds), n_parts
    once = kron(eye_array(n_units), np.ones((1, k)))
    covered = kron(csr_array(holds.T.astype(float)), eye_array(k))
    low = np.ones(once.shape[0] + covered.shape[0])
    high = np.where(np.arange(len(low)) < n_units, 1, np.inf)
    # Parts can be told apart by nothing but their numbers: of the scarcest
    # class's sources, the first is dealt to part 0, the second to 0 or 1, ...
    allowed = np.ones((n_units, k))
    scarcest = np.flatnonzero(holds[:, holds.sum(axis=0).argmin()])
    for place, u in enumerate(rng.permutation(scarcest)[:k]):
        allowed[u, place + 1 :] = 0
    result = milp(
        rng.random(n_units * k),
        integrality=1,
        bounds=(0, allowed.ravel()),
        constraints=LinearConstraint(vstack([once, covered]), low, high),
        options={"node_limit": _NODES, "mip_rel_gap": 1e9},
    )
    if result.x is None:
        return None
    return rng.permutation(k)[result.x.reshape(n_units, k).argmax(axis=1)]


def _improve(table, part, fractions, rng) -> np.ndarray:
    """Move single sources while that brings pictures closer to fractions.

    The misfit is that of ``_deal_units``, summed over classes; no move takes
    the last source of a class out of a part.
    """
    part, k = part.copy(), len(fractions)
    want = np.outer(fractions, table.sum(axis=0))
    held = _held(table, part, k)
    moved = True
    while moved:
        moved = False
        for u in rng.permutation(len(table)):
            size, home = table[u], part[u]
            rest = held[home] - size
            if (rest == 0).any():
                continue
            # What the misfit gains where u comes in, and loses at home.
            gain = ((2 * (held - want) + size) * size / want).sum(axis=1)
            back = ((2 * (rest - want[home]) + size) * size / want[home]).sum()
            gain[home] = back
            if gain.min() < back - 1e-9:
                best = int(gain.argmin())
                held[home], held[best] = rest, held[best] + size
                part[u], moved = best, True
    return part


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
