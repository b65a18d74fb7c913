"""How sure one may be of a score: one bootstrap, and t intervals.

Two things could have come out otherwise: which images are tested, and what
the random seeds drew. The first is told by a cluster bootstrap, which draws
whole groups of images with replacement (Efron & Tibshirani, *An Introduction
to the Bootstrap*, 1993, chapter 13); the second by a t interval over seeds.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from helpers.evaluation.metrics import (
    Metric,
    checked_classes,
    confusion_of_groups,
    macro_f1_from,
)

LEVEL = 0.95
"""Of every interval."""

Predictions = Mapping[Hashable, np.ndarray]

_PERSONS = {"within_classes": False, "over_seeds": True}
# Resamples are drawn in blocks of about this many numbers (32 MB).
_BLOCK = 4_000_000


def bootstrap(
    y_true,
    predictions: Predictions,
    groups=None,
    n_classes: int | None = None,
    *,
    metric: Metric = macro_f1_from,
    within_classes: bool = True,
    over_seeds: bool = False,
    n_boot: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Score each method, with an interval that resamples groups of images.

    Each seed is scored on a resample and the seeds' scores are averaged; the
    interval is the percentile interval of these averages. It says how the
    score would move with other test images and these same networks. With n
    groups in a class it is short by a factor of √((n - 1)/n), and with one
    there is none (NaN): see ``fewest_units``.

    Parameters
    ----------
    y_true : int (N,), true classes
    predictions : for each method, predicted classes, int (S, N) for S seeds
        or reshuffles, or (N,). Or, for accuracy at a fraction of the time
        and the memory, whether each image was classified correctly: bool of
        these shapes (``metric`` is then not used).
    groups : (N,), the independent unit of each image (its source, patient,
        writer), or None: each its own
    n_classes : C; default, the highest class in ``y_true`` + 1
    metric : from confusion matrices (..., C, C) to (...) or (..., C)
    within_classes : draw the groups within their class, which is the class
        of most of their images, so that each resample has as many groups of
        each class. False where a group belongs to no class, as a patient
        photographed in several grades of an illness.
    over_seeds : widen the interval so that it knows of other seeds as well:
        half widths over groups and over seeds, being independent, are added
        as squares
    n_boot : number of resamples
    seed : of the resampling; the same seed draws the same resamples

    Returns
    -------
    One row a method (for a metric of each class: one a method and class,
    with the class's number in the column ``class``): method, mean, low, high,
    std (over the seeds), n_seeds, n_units (groups), fewest_units (groups of
    the class that has fewest) and, with ``over_seeds``, half_width (of the t
    interval over the seeds).
    """
    how = metric, within_classes, n_boot, seed
    runs = _resample(y_true, predictions, groups, n_classes, *how)
    by_seed = runs.by_seed.values()
    mean = np.array([own.mean(axis=0) for own in by_seed])
    half = np.array([half_width(own.T) for own in by_seed])
    low, high = runs.bounds(np.array([*runs.resampled.values()]))
    if over_seeds:
        low, high = _widened(mean, low, high, half)
    columns = {
        "mean": mean,
        "low": low,
        "high": high,
        # Of one seed there is none.
        "std": [
            np.where(len(own) > 1, own.std(axis=0, ddof=len(own) > 1), np.nan)
            for own in by_seed
        ],
        "n_seeds": [len(own) for own in by_seed],
        "n_units": runs.n_groups,
        "fewest_units": runs.fewest,
    }
    columns |= {"half_width": half} if over_seeds else {}
    return _table({"method": list(predictions)}, columns)


def differences(
    y_true,
    predictions: Predictions,
    reference: Hashable = "cross_entropy",
    groups=None,
    n_classes: int | None = None,
    *,
    pairs: Sequence[tuple[Hashable, Hashable]] | None = None,
    strata=None,
    metric: Metric = macro_f1_from,
    within_classes: bool = True,
    over_seeds: bool = False,
    n_boot: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """How much each method scores above a reference, on the same resamples.

    Of many such intervals some miss zero by chance. ``clear`` is a difference
    beyond its ``half_width``, and beyond zero even when all intervals of the
    table are widened to ``delta ± c sd`` with one c, so that in 95 % of the
    resamples none is left by its resampled difference (single-step maxT,
    Westfall & Young, *Resampling-Based Multiple Testing*, 1993).

    Parameters
    ----------
    y_true, predictions, groups, n_classes, metric, within_classes,
    over_seeds, n_boot, seed : as `bootstrap` has them; seed s of two methods
        is a pair, trained on the same images from the same initial weights
    reference : the method that all others are compared with
    pairs : compare these instead, (method, reference) each
    strata : (S,), what the seeds' networks were trained on apart from the
        seed; default, the same for all

    Returns
    -------
    One row a pair (and class, see `bootstrap`): method, reference, delta,
    low, high, half_width (of the t interval over the seeds, about the means
    of their strata; NaN where no stratum has two seeds), clear, above and
    below (in how many seeds the method scores higher, and lower).

    Raises
    ------
    ValueError
        Where two methods have not equally many seeds.
    """
    how = metric, within_classes, n_boot, seed
    runs = _resample(y_true, predictions, groups, n_classes, *how)
    if pairs is None:
        pairs = [(m, reference) for m in predictions if m != reference]
    for a, b in pairs:
        if len(runs.by_seed[a]) != len(runs.by_seed[b]):
            raise ValueError(f"{a} and {b} have not equally many seeds")
    gaps, drawn = (
        np.array([of[a] - of[b] for a, b in pairs])
        for of in (runs.by_seed, runs.resampled)
    )
    delta, sd = gaps.mean(axis=1), drawn.std(axis=1)
    # Two methods that never differ have no spread, and no difference either.
    apart = np.abs(drawn - delta[:, None]) / np.where(sd > 0, sd, 1)[:, None]
    of_resample = np.moveaxis(apart, 1, 0).reshape(n_boot, -1)
    at_once = np.quantile(of_resample.max(axis=1), LEVEL) * sd
    half = half_width(np.moveaxis(gaps, 1, -1), strata)
    low, high = runs.bounds(drawn)
    if over_seeds:
        low, high = _widened(delta, low, high, half)
    columns = {"delta": delta, "low": low, "high": high, "half_width": half}
    # A NaN is no proof: it makes this False.
    columns["clear"] = (np.abs(delta) > at_once) & (np.abs(delta) > half)
    columns["above"] = (gaps > 0).sum(axis=1)
    columns["below"] = (gaps < 0).sum(axis=1)
    methods, references = zip(*pairs, strict=True)
    return _table({"method": methods, "reference": references}, columns)


def half_width(values, strata=None):
    """Half the 95 % t interval of the mean of n values: (..., n) -> (...).

    strata : (n,); values of one stratum alone vary about one mean. NaN where
        no stratum has two values.
    """
    values = np.asarray(values, dtype=float)
    n = values.shape[-1]
    strata = np.zeros(n) if strata is None else np.asarray(strata)
    kinds = np.unique(strata)
    free = n - len(kinds)
    if not free:
        return np.full(values.shape[:-1], np.nan)[()]
    squares = sum(
        (own.var(axis=-1) * own.shape[-1])
        for own in (values[..., strata == kind] for kind in kinds)
    )
    factor = stats.t.ppf((1 + LEVEL) / 2, free)
    return factor * np.sqrt(squares / free / n)


class Interval(NamedTuple):
    """A number and its 95 % interval.

    ``half_width`` is that of the t interval over seeds alone, NaN of one.
    """

    value: float
    low: float
    high: float
    half_width: float


def t_interval(values) -> Interval:
    """The mean of n values with its t interval; NaN ends where n is 1."""
    mean, half = float(np.mean(values)), float(half_width(values))
    return Interval(mean, mean - half, mean + half, half)


def mean_interval(values, groups=None) -> Interval:
    """The mean of a number of each image, over groups and over seeds.

    The interval is the t interval over the groups' means; the half width
    over the seeds is added as squares.

    values : float (S, N) for S seeds; a NaN is left out, and so is an image
        without any number
    groups : (N,), or None: each image its own
    """
    values = np.atleast_2d(values)
    known = ~np.isnan(values).all(axis=0)
    groups = np.arange(len(known)) if groups is None else np.asarray(groups)
    group = np.unique(groups[known], return_inverse=True)[1]
    of_image = np.nanmean(values[:, known], axis=0)
    of_group = np.bincount(group, of_image) / np.bincount(group)
    half = half_width(np.nanmean(values[:, known], axis=1))
    mean, low, high, _ = t_interval(of_group)
    return Interval(mean, *_widened(mean, low, high, half), half)


@dataclass(frozen=True)
class TestSet:
    """A test set of persons, on which one score after another is asked.

    Persons are drawn whole and *not* within classes: one photographed on
    several visits has images of several grades and belongs to none. The
    intervals are over persons and over seeds (see `bootstrap`).

    y_true : int (N,), true classes, with the last among them
    groups : (N,), whom each image shows, or None: each its own
    """

    __test__ = False  # nothing for pytest to collect

    y_true: np.ndarray
    groups: np.ndarray | None = None

    def score(self, predicted: np.ndarray, metric: Metric) -> Interval:
        """A score of predicted classes, int (S, N), a row a seed."""
        at = self.y_true, {"": predicted}, self.groups
        row = bootstrap(*at, metric=metric, **_PERSONS).iloc[0]
        return Interval(*row[["mean", "low", "high", "half_width"]])

    def gain(
        self, before: np.ndarray, after: np.ndarray, metric: Metric
    ) -> Interval:
        """How much ``after`` scores above ``before``, seed by seed."""
        at = self.y_true, {"before": before, "after": after}, "before"
        row = differences(*at, self.groups, metric=metric, **_PERSONS).iloc[0]
        return Interval(*row[["delta", "low", "high", "half_width"]])


class _Resamples(NamedTuple):
    """Scores of each method by seed, (S, ...), and by resample, (B, ...)."""

    by_seed: dict[Hashable, np.ndarray]
    resampled: dict[Hashable, np.ndarray]
    n_groups: int
    fewest: int

    def bounds(self, draws: np.ndarray):
        """Percentile interval; none where a class cannot vary at all."""
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(draws, [tail, 1 - tail], axis=1)
        if self.fewest < 2:
            return np.full_like(low, np.nan), np.full_like(high, np.nan)
        return low, high


def _resample(
    y_true, predictions, groups, n_classes, metric, within, n_boot, seed
):
    """Score all predictions on the same resamples of the groups."""
    y_true = np.asarray(y_true)
    if n_classes is None:
        n_classes = int(y_true.max()) + 1
    group, strata = _groups_by_class(y_true, groups, n_classes, within)
    n_groups = int(group.max()) + 1
    by_seed, tables, correct = {}, {}, {}
    for method, run in predictions.items():
        run = np.atleast_2d(run)
        if run.dtype == bool:
            by_seed[method] = run.mean(axis=1)
            correct[method] = np.bincount(group, run.mean(axis=0))
        else:
            run = checked_classes(y_true, run, n_classes)[1]
            tables[method] = confusion_of_groups(y_true, run, group, n_classes)
            by_seed[method] = metric(tables[method].sum(axis=0))
    flat = {
        m: t.reshape(n_groups, -1).astype(float) for m, t in tables.items()
    }
    counted = np.column_stack([*correct.values(), np.bincount(group)])
    draws = {method: [] for method in predictions}
    # A resample is a row of how often it holds each group, so its confusion
    # matrices are that row times the matrices of the groups. Two older
    # bootstraps, whose results are kept, drew multinomial numbers.
    multinomial = bool(correct) or not within
    for times in _resamples(strata, n_boot, seed, multinomial):
        for method, table in tables.items():
            drawn = (times @ flat[method]).reshape(-1, *table.shape[1:])
            draws[method].append(metric(drawn).mean(axis=1))
        *hits, images = (times @ counted).T
        for method, drawn in zip(correct, hits, strict=True):
            draws[method].append(drawn / images)
    resampled = {m: np.concatenate(blocks) for m, blocks in draws.items()}
    return _Resamples(by_seed, resampled, n_groups, min(map(len, strata)))


def _groups_by_class(y_true, groups, n_classes, within):
    """The number of each image's group, (N,), and each class's groups.

    A group belongs to the class of most of its images; unless ``within``,
    all belong to one stratum.
    """
    if groups is None:
        groups = np.arange(len(y_true))
    if np.shape(groups) != y_true.shape:
        raise ValueError(
            f"groups must name the group of each of the {len(y_true)} "
            f"images; its shape is {np.shape(groups)}"
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
    """Rows of names, one a class where a column is (P, C) and not (P,)."""
    shape = next(iter(columns.values())).shape
    table = {
        name: [key for key in values for _ in range(math.prod(shape[1:]))]
        for name, values in names.items()
    }
    if len(shape) > 1:
        table["class"] = np.tile(np.arange(shape[1]), shape[0])
    for name, values in columns.items():
        values = np.asarray(values)
        values = values[(..., *[None] * (len(shape) - values.ndim))]
        table[name] = np.broadcast_to(values, shape).ravel()
    return pd.DataFrame(table)


def _widened(value, low, high, half):
    """An interval with another half width added as squares."""
    half = np.nan_to_num(half)
    return (
        value - np.hypot(value - low, half),
        value + np.hypot(high - value, half),
    )
