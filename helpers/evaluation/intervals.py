"""How sure one may be of a score: one bootstrap, and t intervals.

What other test images would do is told by a cluster bootstrap, which draws
whole groups of images with replacement (Efron & Tibshirani, *An Introduction
to the Bootstrap*, 1993, chapter 13); what other random seeds would do, by a
t interval over the seeds.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from helpers.evaluation.metrics import (
    accuracy_from,
    checked_classes,
    confusion_of_groups,
    macro_f1_from,
)

LEVEL = 0.95
"""Of every interval."""

# Resamples are drawn in blocks of about this many numbers (32 MB).
_BLOCK = 4_000_000


def bootstrap(
    y_true,
    predictions: Mapping[Hashable, np.ndarray],
    groups=None,
    n_classes: int | None = None,
    *,
    over_seeds: bool = False,
    **how,
) -> pd.DataFrame:
    """Score each method, with an interval that resamples groups of images.

    Each seed is scored on a resample and the seeds' scores are averaged; the
    interval is the percentile interval of these averages: how the score would
    move with other test images and these same networks. With n groups in a
    class it is short by a factor of √((n - 1)/n), and with one it is NaN.

    y_true : int (N,), true classes
    predictions : for each method, predicted classes, int (S, N) for S seeds
        or reshuffles, or (N,); or, for accuracy alone, whether each image was
        classified correctly, bool (``metric`` is then not used)
    groups : (N,), the independent unit of each image (its source, patient,
        writer), or None: each its own
    n_classes : C; default, the highest class in ``y_true`` + 1
    over_seeds : widen the interval by the t interval over the seeds: the two
        half widths, being independent, are added as squares
    metric : from confusion matrices (..., C, C) to (...) or (..., C);
        default, macro-F1
    within_classes : draw the groups within the class of most of their images
        (default); False where a group has no class, as a patient photographed
        in several grades of an illness
    n_boot, seed : number of resamples (2,000), and their random seed (0)

    Returns a row a method (and class, for a metric of each class): method,
    mean, low, high, std (over the seeds), n_seeds, n_units (groups),
    fewest_units (groups of the class that has fewest) and, with
    ``over_seeds``, half_width (of the t interval over the seeds).
    """
    at = y_true, predictions, groups, n_classes
    by_seed, resampled, units = _resample(*at, **how)
    scores = [*by_seed.values()]
    columns = _ends(scores, [*resampled.values()], units, over_seeds)
    half = columns.pop("half_width")
    # Of one seed there is no deviation.
    columns["std"] = [
        own.std(axis=0, ddof=1) if len(own) > 1 else own[0] * np.nan
        for own in scores
    ]
    columns |= {"n_seeds": [len(own) for own in scores], **units}
    columns |= {"half_width": half} if over_seeds else {}
    return _table({"method": list(predictions)}, columns)


def differences(
    y_true,
    predictions: Mapping[Hashable, np.ndarray],
    reference: Hashable = "cross_entropy",
    groups=None,
    n_classes: int | None = None,
    *,
    pairs: Sequence[tuple[Hashable, Hashable]] | None = None,
    over_seeds: bool = False,
    **how,
) -> pd.DataFrame:
    """How much each method scores above a reference, on the same resamples.

    y_true, predictions, groups, n_classes, over_seeds, how : as `bootstrap`
        has them; seed s of two methods is a pair, trained on the same images
        from the same initial weights
    reference : the method that all others are compared with
    pairs : compare these instead, (method, reference) each

    ``p`` is that of a two-sided test by the same resamples: twice the share
    of resampled differences on the other side of zero, the observed one
    counted in (Davison & Hinkley, *Bootstrap Methods and their Application*,
    1997, section 4.2.3), and so at least 0.001 by 2,000 resamples. It leaves
    the seeds out, as does the interval without ``over_seeds``, and is for one
    comparison: see `holm`.

    Returns a row a pair (and class): method, reference, delta, low, high,
    half_width (of the t interval over the seeds; NaN where there is one),
    p, above and below (in how many seeds the method scores higher, and
    lower).

    Raises ValueError where two methods have not equally many seeds.
    """
    at = y_true, predictions, groups, n_classes
    by_seed, resampled, units = _resample(*at, **how)
    if pairs is None:
        pairs = [(m, reference) for m in predictions if m != reference]
    for a, b in pairs:
        if len(by_seed[a]) != len(by_seed[b]):
            raise ValueError(f"{a} and {b} have not equally many seeds")
    gaps, resampled = (
        np.array([of[a] - of[b] for a, b in pairs])
        for of in (by_seed, resampled)
    )
    columns = _ends(gaps, resampled, units, over_seeds)
    sides = [(resampled <= 0).sum(axis=1), (resampled >= 0).sum(axis=1)]
    p = 2 * (1 + np.min(sides, axis=0)) / (1 + resampled.shape[1])
    columns["p"] = np.where(np.isnan(columns["low"]), np.nan, p.clip(max=1))
    columns["above"] = (gaps > 0).sum(axis=1)
    columns["below"] = (gaps < 0).sum(axis=1)
    methods, references = zip(*pairs, strict=True)
    table = _table({"method": methods, "reference": references}, columns)
    return table.rename(columns={"mean": "delta"})


def holm(p) -> np.ndarray:
    """Holm's adjusted p of m tests, (m,) -> (m,).

    The smallest is multiplied by m, the next one by m - 1, and so on; none
    becomes smaller than the one before, or larger than 1. With those below
    0.05 called different, the chance of even one false call is at most 5 %.
    S. Holm, *A simple sequentially rejective multiple test procedure*,
    Scandinavian Journal of Statistics 6, 1979. NaN stays NaN.
    """
    p = np.asarray(p, float)
    order, adjusted = np.argsort(p), np.empty(len(p))
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def half_width(values):
    """Half the 95 % t interval of the mean of n values: (..., n) -> (...).

    NaN where there is one value.
    """
    values = np.asarray(values, dtype=float)
    n = values.shape[-1]
    if n < 2:
        return np.full(values.shape[:-1], np.nan)[()]
    factor = stats.t.ppf((1 + LEVEL) / 2, n - 1)
    return factor * values.std(axis=-1, ddof=1) / np.sqrt(n)


class Interval(NamedTuple):
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float


def t_interval(values) -> Interval:
    """The mean of n values with its t interval; NaN ends where n is 1."""
    mean, half = float(np.mean(values)), float(half_width(values))
    return Interval(mean, mean - half, mean + half)


def mean_interval(values, groups) -> Interval:
    """The mean of a number of each image, over groups and over seeds.

    The t interval over the groups' means, widened by the half width over the
    seeds. ``values`` is float (S, N), NaN where there is none.
    """
    table = pd.DataFrame(values)
    of_group = table.mean().groupby(np.asarray(groups)).mean().dropna()
    mean, low, high = t_interval(of_group)
    half = half_width(table.mean(axis=1))
    return Interval(mean, *_widened(mean, low, high, half))


def _ends(by_seed, resampled, units, over_seeds) -> dict:
    """Columns: means of the seeds, (P, ...), with their intervals."""
    mean = np.array([own.mean(axis=0) for own in by_seed])
    half = np.array([half_width(own.T) for own in by_seed])
    tail = (1 - LEVEL) / 2
    ends = np.quantile(resampled, [tail, 1 - tail], axis=1)
    # None where a class cannot vary at all.
    low, high = ends if units["fewest_units"] > 1 else ends * np.nan
    if over_seeds:
        low, high = _widened(mean, low, high, half)
    return {"mean": mean, "low": low, "high": high, "half_width": half}


def _resample(
    y_true,
    predictions,
    groups,
    n_classes,
    metric=macro_f1_from,
    within_classes=True,
    n_boot=2000,
    seed=0,
):
    """Score all predictions on the same resamples of the groups.

    Scores of each method by seed, (S, ...), and by resample, (B, ...), and
    the columns n_units and fewest_units.
    """
    y_true = np.asarray(y_true)
    if n_classes is None:
        n_classes = int(y_true.max()) + 1
    group, strata = _groups_by_class(y_true, groups, n_classes, within_classes)
    runs = {m: np.atleast_2d(own) for m, own in predictions.items()}
    correct = all(own.dtype == bool for own in runs.values())
    if correct:
        # All of class 0, and whatever is wrong in class 1.
        runs = {m: 1 - own for m, own in runs.items()}
        y_true, n_classes, metric = np.zeros_like(y_true), 2, accuracy_from
    by_seed, tables = {}, {}
    for method, run in runs.items():
        run = checked_classes(y_true, run, n_classes)[1]
        table = confusion_of_groups(y_true, run, group, n_classes)
        by_seed[method] = metric(table.sum(axis=0))
        tables[method] = table.astype(float)
    resampled = {method: [] for method in runs}
    # A resample is a row of how often it holds each group, so its confusion
    # matrices are that row times the matrices of the groups. Two older
    # bootstraps, whose results are kept, drew multinomial numbers.
    multinomial = correct or not within_classes
    for times in _resamples(strata, n_boot, seed, multinomial):
        for method, table in tables.items():
            drawn = np.tensordot(times, table, 1)
            resampled[method].append(metric(drawn).mean(axis=1))
    resampled = {m: np.concatenate(blocks) for m, blocks in resampled.items()}
    sizes = [len(members) for members in strata]
    units = {"n_units": sum(sizes), "fewest_units": min(sizes)}
    return by_seed, resampled, units


def _groups_by_class(y_true, groups, n_classes, within):
    """The number of each image's group, (N,), and the groups of each class."""
    if groups is None:
        groups = np.arange(len(y_true))
    if np.shape(groups) != y_true.shape:
        raise ValueError(
            f"groups must name that of each of the {len(y_true)} images; "
            f"its shape is {np.shape(groups)}"
        )
    group = np.unique(groups, return_inverse=True)[1]
    votes = np.zeros((group.max() + 1, n_classes), dtype=np.int64)
    np.add.at(votes, (group, y_true), 1)
    stratum = votes.argmax(axis=1) if within else np.zeros(len(votes), int)
    return group, [np.flatnonzero(stratum == c) for c in np.unique(stratum)]


def _resamples(strata, n_boot, seed, multinomial):
    """Blocks (n, G) of how often a resample holds each group."""
    rng = np.random.default_rng(seed)
    n_groups = sum(map(len, strata))
    block = n_boot if multinomial else max(1, _BLOCK // n_groups)
    for start in range(0, n_boot, block):
        n = min(block, n_boot - start)
        times = np.zeros((n, n_groups))
        for members in strata:
            size = len(members)
            if multinomial:
                even = np.full(size, 1 / size)
                times[:, members] = rng.multinomial(size, even, n)
                continue
            picks = rng.integers(size, size=(n, size))
            picks += np.arange(n)[:, None] * size
            drawn = np.bincount(picks.ravel(), minlength=n * size)
            times[:, members] = drawn.reshape(n, size)
        yield times


def _table(names, columns) -> pd.DataFrame:
    """Rows of names, one a class where the columns are (P, C), not (P,)."""
    shape, table = columns["mean"].shape, pd.DataFrame(names)
    if len(shape) > 1:
        table = table.loc[table.index.repeat(shape[1])].reset_index(drop=True)
        table["class"] = np.tile(np.arange(shape[1]), shape[0])
    for name, values in columns.items():
        values = np.broadcast_to(np.transpose(values), shape[::-1])
        table[name] = values.T.ravel()
    return table


def _widened(value, low, high, half):
    """An interval with another half width added as squares."""
    low, high = value - low, high - value
    half = np.nan_to_num(half)
    return value - np.hypot(low, half), value + np.hypot(high, half)
