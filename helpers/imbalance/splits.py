"""Divide images into training, validation and test set, at random or by group.

scikit-learn's ``StratifiedGroupKFold`` is not used: it places large groups
before small ones in a fixed order, so that its "reshuffles" hardly differ
where copies are uneven, and it leaves classes out of folds of few groups.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.optimize import LinearConstraint, milp
from scipy.sparse import csr_array, eye_array, kron, vstack
from sklearn.metrics.cluster import contingency_matrix

from helpers.imbalance.counts import (
    class_counts,
    power_law_counts,
    subsample,
)

FRACTIONS = (0.7, 0.2, 0.1)
"""Training, validation and test set of the acne paper."""

SETS = {"train": "training", "val": "validation", "test": "test"}
"""The sets of a split, by the key under which tables list them."""

# Random deals among which the one with the best proportions is taken, and new
# starts where groups that hold several classes leave one out of a set.
_DEALS, _ATTEMPTS = 2000, 20
# Branches of the search where chance has found none: no limit of time, so
# that the answer is the same on every machine.
_NODES = 5_000


@dataclass(frozen=True, eq=False)
class Split:
    """Three sorted int64 vectors of indices that share no image."""

    name: str
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    seed: int | None

    def sets(self) -> dict[str, np.ndarray]:
        """Return the three index vectors by name, in that order."""
        return {key: getattr(self, key) for key in SETS}


class Impossible(ValueError):
    """The data allow no such split; the message says why and what to do."""


def ways(ds, seed: int) -> tuple[dict[str, Split], dict[str, str]]:
    """Split a data set in each of the three ways that it allows.

    Returns the splits "random" (``stratified``), "by source" (``by_group``)
    and, where one came with the data, "published"; and a sentence for each of
    the last two that cannot be made. Raises Impossible for a class that
    cannot even be split at random.
    """
    labels, names, left_out = ds.labels, ds.class_names, {}
    made = {"random": stratified(labels, seed, class_names=names)}
    try:
        groups = ds.groups
        made["by source"] = by_group(labels, groups, seed, class_names=names)
    except Impossible as why:
        left_out["by source"] = f"The split by source is left out: {why}."
    if ds.published_split is not None:
        try:
            made["published"] = published(ds.published_split, labels, names)
        except Impossible as why:
            left_out["published"] = f"The published split is left out: {why}."
    return made, left_out


def stratified(
    labels, seed: int, fractions=FRACTIONS, *, class_names=None
) -> Split:
    """Split each class at random, whatever its images' groups.

    labels: (N,) integers. Each set's share of a class is within one image of
    its fraction, and at least one. class_names: (C,) names for errors. Raises
    Impossible for a class with fewer images than sets.
    """
    return _three("random", labels, None, fractions, seed, class_names)


def by_group(
    labels, groups, seed: int, fractions=FRACTIONS, *, class_names=None
) -> Split:
    """Split each class by group: no group is in two sets.

    labels, groups: (N,) integers and group keys. The *number of groups* of
    a class in each set is exact up to rounding and at least one; among
    random deals of that kind, the one whose numbers of *images* come
    closest to the fractions is taken. A group with several classes is dealt
    with the class of most of its images; where such deals leave a class out
    of a set, one that does not is searched for. Raises Impossible where
    groups is None, where a class has fewer groups than sets, and where no
    deal has every class in every set.
    """
    if groups is None:
        raise Impossible("this data set does not tell the sources")
    return _three("by source", labels, groups, fractions, seed, class_names)


def published(published_split, labels, class_names) -> Split:
    """Take the split that the data set came with.

    published_split: (N,) of "train", "val", "test". Raises Impossible where a
    set is empty or lacks a class: a validation set carved out of the others
    would no longer be the published split.
    """
    keys = list(SETS)
    dealt = np.array([keys.index(key) for key in published_split])
    split = _split("published", dealt, None)
    table = class_shares(split, labels, class_names).set_index("class")
    if missing := [key for key in SETS if not table.loc["all", key]]:
        sets = " and no ".join(f"{SETS[key]} set" for key in missing)
        folders = " and ".join(f"{key}/" for key in missing)
        raise Impossible(
            f"no {sets} is published (an image folder may add {folders})"
        )
    lacking = [
        f"the {SETS[key]} set has no image of "
        + ", ".join(f"'{name}'" for name in table.index[table[key] == 0])
        for key in SETS
        if (table[key] == 0).any()
    ]
    if lacking:
        raise Impossible(" and ".join(lacking))
    return split


def folds(
    labels, groups, n_folds, seed, validation=None, *, class_names=None
) -> list[Split]:
    """Cross-validation: fold k is test, fold k+1 (cyclic) is validation.

    validation: a share of the images that are not in fold k to take as its
    validation set instead; so more of them train. groups: (N,) group keys (no
    group is in two folds) or None. Raises ValueError for fewer than three
    folds; Impossible as ``by_group`` does.
    """
    if n_folds < 3:
        raise ValueError(
            f"n_folds: {n_folds} leaves no fold to train on; use 3 or more"
        )
    labels = np.asarray(labels)
    fractions = np.full(n_folds, 1 / n_folds)
    fold = _deal(labels, groups, fractions, seed, class_names)
    splits = []
    for k in range(n_folds):
        dealt = np.zeros(len(labels), np.int64)
        if validation is None:
            dealt[fold == (k + 1) % n_folds] = 1
        else:
            rest = np.flatnonzero(fold != k)
            some = None if groups is None else np.asarray(groups)[rest]
            shares = np.array([1 - validation, validation])
            dealt[rest] = _deal(labels[rest], some, shares, seed, class_names)
        dealt[fold == k] = 2
        splits.append(_split(f"fold {k + 1} of {n_folds}", dealt, seed))
    return splits


def long_tail_folds(
    labels,
    groups,
    rho: float,
    n_folds: int,
    seed: int,
    largest: int | None = None,
) -> list[Split]:
    """Cross-validation whose training sets, and only they, are long-tailed.

    Over all folds every image is tested once. Each training set is cut by
    eq. (18) of the CEFL paper to the same counts, nested in rho. All splits
    are named "long tail"; ``Trained.tested`` pools the folds of a seed.

    largest: count of the last class; default, what every fold's training set
    has of its smallest class. The rest, and what is raised, as in `folds`,
    `power_law_counts` and `subsample`.
    """
    labels = np.asarray(labels)
    n_classes = int(labels.max()) + 1
    made = folds(labels, groups, n_folds, seed)
    if largest is None:
        largest = min(
            int(class_counts(labels[split.train], n_classes).min())
            for split in made
        )
    counts = power_law_counts(largest, n_classes, rho)
    return cut_to(made, labels, counts, "long tail")


def cut_to(splits, labels, counts, name: str) -> list[Split]:
    """Cut the training set of each split to the same counts, and only that.

    labels: (N,) integers in 0 … C-1; counts: (C,); name: of the new splits.
    Which images stay is drawn by the split's seed, as in `subsample`, which
    also says what is raised.
    """
    labels, cut = np.asarray(labels), []
    for split in splits:
        kept = subsample(labels[split.train], counts, split.seed)
        cut.append(replace(split, name=name, train=split.train[kept]))
    return cut


def leakage(split: Split, groups) -> pd.DataFrame:
    """Count the images of each set whose group is also in the training set.

    groups: (N,) group keys. Returns a row a set: part, images, sources
    (groups), leaking (a number of images) and share (of the set's images).
    """
    if groups is None:
        raise ValueError(
            "groups is None: load the data with groups to see leakage"
        )
    groups = pd.Series(groups)
    rows = []
    for key, index in split.sets().items():
        row = {"part": key, "images": len(index)}
        row["sources"] = groups[index].nunique()
        if key != "train":
            leaking = groups[index].isin(groups[split.train])
            row |= {"leaking": leaking.sum(), "share": leaking.mean()}
        rows.append(row)
    return pd.DataFrame(rows).astype({"leaking": "Int64"})


def class_shares(split: Split, labels, class_names) -> pd.DataFrame:
    """Count each class in each set, one row a class and one for all.

    Returns class; train, val, test (images); train_share, … (of the class).
    """
    table = pd.DataFrame(
        {
            key: class_counts(np.asarray(labels)[index], len(class_names))
            for key, index in split.sets().items()
        }
    )
    table.loc[len(table)] = table.sum()
    shares = table.div(table.sum(axis=1), axis=0).add_suffix("_share")
    table.insert(0, "class", [*class_names, "all"])
    return table.join(shares)


def _split(name: str, dealt: np.ndarray, seed: int | None) -> Split:
    # 0 stands for the training set, 1 for validation, 2 for test.
    return Split(name, *(np.flatnonzero(dealt == k) for k in range(3)), seed)


def _three(name, labels, groups, fractions, seed, class_names) -> Split:
    fractions = np.asarray(fractions, float)
    whole = len(fractions) == 3 and np.isclose(fractions.sum(), 1)
    if not whole or fractions.min() <= 0:
        raise ValueError(
            "fractions: expected three positive numbers that add up to 1 "
            f"(train, val, test), got {fractions.tolist()}"
        )
    dealt = _deal(labels, groups, fractions, seed, class_names)
    return _split(name, dealt, seed)


def _deal(labels, groups, fractions, seed: int, class_names) -> np.ndarray:
    """Return the (N,) set of each image, every class in every set."""
    unit = "image" if groups is None else "source"
    groups = np.arange(len(labels)) if groups is None else groups
    table = contingency_matrix(groups, labels)
    group = np.unique(groups, return_inverse=True)[1]
    k = len(fractions)
    sets = f"{k} {'sets' if k <= 3 else 'folds'}"
    n_groups = (table > 0).sum(axis=0)
    if n_groups.min() < k:
        names = np.unique(labels)
        if class_names is not None:
            names = [f"'{class_names[c]}'" for c in names]
        few = [
            f"class {name} has {n} {unit}{'' if n == 1 else 's'}"
            for name, n in zip(names, n_groups, strict=True)
            if n < k
        ]
        advice = f"add {unit}s or leave the class out"
        if n_groups.min() >= 3:
            advice = f"take {n_groups.min()} folds, {advice}"
        raise Impossible(f"{' and '.join(few)}, too few for {sets}; {advice}")
    rng = np.random.default_rng(seed)
    for _ in range(_ATTEMPTS):
        dealt = _deal_groups(table, fractions, rng)
        if (_held(table, dealt, k) > 0).all():
            return dealt[group]
    dealt = _search(table > 0, k, rng)
    if dealt is None:
        raise Impossible(
            f"no way found to have every class in each of {sets}, because a "
            "source may hold several classes; take fewer folds, another group "
            "rule, or leave out a class of few sources"
        )
    return _improve(table, dealt, fractions, rng)[group]


def _held(table, dealt, n_sets: int) -> np.ndarray:
    """Count the images of each class in each set: (K, C)."""
    return (dealt == np.arange(n_sets)[:, None]) @ table


def _search(holds, n_sets: int, rng) -> np.ndarray | None:
    """Deal groups so that every class is in every set, or return None.

    holds: (G, C) bool, the classes of each group. An integer program:
    x[g, k] = 1 where group g is dealt to set k, at random costs.
    """
    n_groups, k = len(holds), n_sets
    once = kron(eye_array(n_groups), np.ones((1, k)))
    covered = kron(csr_array(holds.T.astype(float)), eye_array(k))
    low = np.ones(once.shape[0] + covered.shape[0])
    high = np.where(np.arange(len(low)) < n_groups, 1, np.inf)
    # Sets can be told apart by nothing but their numbers: of the scarcest
    # class's groups, the first is dealt to set 0, the second to 0 or 1, ...
    allowed = np.ones((n_groups, k))
    scarcest = np.flatnonzero(holds[:, holds.sum(axis=0).argmin()])
    for place, g in enumerate(rng.permutation(scarcest)[:k]):
        allowed[g, place + 1 :] = 0
    result = milp(
        rng.random(n_groups * k),
        integrality=1,
        bounds=(0, allowed.ravel()),
        constraints=LinearConstraint(vstack([once, covered]), low, high),
        options={"node_limit": _NODES, "mip_rel_gap": 1e9},
    )
    if result.x is None:
        return None
    return rng.permutation(k)[result.x.reshape(n_groups, k).argmax(axis=1)]


def _improve(table, dealt, fractions, rng) -> np.ndarray:
    """Move single groups while that brings images closer to fractions.

    No move takes the last group of a class out of a set.
    """
    want = np.outer(fractions, table.sum(axis=0))
    held = _held(table, dealt, len(fractions))
    moved = True
    while moved:
        moved = False
        for g in rng.permutation(len(table)):
            size, home = table[g], dealt[g]
            rest = held[home] - size
            if (rest == 0).any():
                continue
            # What the misfit gains where g comes in, and loses at home.
            gain = ((2 * (held - want) + size) * size / want).sum(axis=1)
            back = ((2 * (rest - want[home]) + size) * size / want[home]).sum()
            gain[home] = back
            if gain.min() < back - 1e-9:
                best = int(gain.argmin())
                held[home], held[best] = rest, held[best] + size
                dealt[g], moved = best, True
    return dealt


def _deal_groups(table, fractions, rng) -> np.ndarray:
    """Deal groups to sets: table (G, C) images -> (G,) set."""
    dealt = np.empty(len(table), np.int64)
    home, size = table.argmax(axis=1), table.sum(axis=1)
    for name in np.unique(home):
        members = np.flatnonzero(home == name)
        quota = _quota(len(members), fractions, rng)
        hand = np.repeat(np.arange(len(fractions)), quota)
        # Where all groups are of one size all deals are equally good.
        n_deals = _DEALS if np.ptp(size[members]) else 1
        deals = rng.permuted(np.tile(hand, (n_deals, 1)), axis=1)
        want = fractions * size[members].sum()
        misfit = sum(
            ((deals == k) @ size[members] - want[k]) ** 2 / want[k]
            for k in range(len(fractions))
        )
        dealt[members] = deals[misfit.argmin()]
    return dealt


def _quota(n: int, fractions, rng) -> np.ndarray:
    """Share n groups by largest remainder, where n allows one each at least.

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
