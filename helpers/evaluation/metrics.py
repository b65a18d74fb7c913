"""Scores of predicted classes, and how sure one may be of them.

Everything starts from confusion matrices, with any leading axes ``(..., C,
C)`` and the true class on the rows, so that one line scores one run, five
seeds or two thousand bootstrap resamples. A ratio of nothing to nothing
counts as 0, as with scikit-learn's ``zero_division=0``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import precision_recall_fscore_support

Metric = Callable[[np.ndarray], np.ndarray]

# Resamples are drawn in blocks of about this many numbers (32 MB).
_BLOCK = 4_000_000


def confusion(y_true, y_pred, n_classes: int) -> np.ndarray:
    """Count the pictures of each true class given each predicted class.

    ``y_true`` is (N,), ``y_pred`` (N,) or, for S seeds, (S, N); both hold
    classes 0 … C-1. Returns int64 (C, C) or (S, C, C), true class on rows.
    """
    y_true, y_pred = _checked(y_true, y_pred, n_classes)
    runs = np.atleast_2d(y_pred)
    cells = y_true * n_classes + runs
    cells += np.arange(len(runs))[:, None] * n_classes**2
    counts = np.bincount(cells.ravel(), minlength=len(runs) * n_classes**2)
    return counts.reshape(*y_pred.shape[:-1], n_classes, n_classes)


def accuracy_from(confusions: np.ndarray) -> np.ndarray:
    """Share of pictures given their true class: (..., C, C) -> (...)."""
    hits = np.trace(confusions, axis1=-2, axis2=-1)
    return _ratio(hits, confusions.sum(axis=(-2, -1)))


def recall_from(confusions: np.ndarray) -> np.ndarray:
    """Share of each true class that was found: (..., C, C) -> (..., C)."""
    return _ratio(_hits(confusions), confusions.sum(axis=-1))


def precision_from(confusions: np.ndarray) -> np.ndarray:
    """Share of each predicted class that is right: (..., C, C) -> (..., C)."""
    return _ratio(_hits(confusions), confusions.sum(axis=-2))


def f1_from(confusions: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall: (..., C, C) -> (..., C)."""
    both = confusions.sum(axis=-1) + confusions.sum(axis=-2)
    return _ratio(2 * _hits(confusions), both)


def macro_f1_from(confusions: np.ndarray) -> np.ndarray:
    """Plain mean of the classes' F1: (..., C, C) -> (...).

    A class that is neither present nor predicted counts as 0; scikit-learn
    does the same where it is given all the labels.
    """
    return f1_from(confusions).mean(axis=-1)


def balanced_accuracy_from(confusions: np.ndarray) -> np.ndarray:
    """Mean recall of the classes that are present: (..., C, C) -> (...)."""
    present = confusions.sum(axis=-1) > 0
    return _ratio(recall_from(confusions).sum(axis=-1), present.sum(axis=-1))


def per_class(y_true, y_pred, class_names) -> pd.DataFrame:
    """Precision, recall, F1 and support of each class, by scikit-learn.

    ``y_true`` and ``y_pred`` are (N,). One row a class, named in the index.
    """
    y_true, y_pred = _checked(y_true, y_pred, len(class_names))
    columns = precision_recall_fscore_support(
        y_true, y_pred, labels=range(len(class_names)), zero_division=0
    )
    table = pd.DataFrame(
        dict(
            zip(("precision", "recall", "f1", "support"), columns, strict=True)
        ),
        index=pd.Index(class_names, name="class"),
    )
    return table.astype({"support": "int64"})


def scores(y_true, y_pred, n_classes: int) -> dict[str, float]:
    """The scores of one run, (N,) against (N,), by name."""
    table = confusion(y_true, y_pred, n_classes)
    values = {
        "accuracy": accuracy_from(table),
        "balanced_accuracy": balanced_accuracy_from(table),
        "macro_f1": macro_f1_from(table),
        "macro_precision": precision_from(table).mean(),
        "macro_recall": recall_from(table).mean(),
    }
    return {name: float(value) for name, value in values.items()}


def score_rows(y_true, predictions, class_names, seeds) -> pd.DataFrame:
    """Every score of every seed, one row a value, ready for `results.tidy`.

    ``predictions`` is (S, N), a row for each of the ``seeds``. Columns:
    seed, metric, class ("" = over all classes), value; the metrics are
    those of `scores`, and precision, recall and f1 of each class.
    """
    rows = []
    for seed, predicted in zip(seeds, predictions, strict=True):
        overall = scores(y_true, predicted, len(class_names))
        rows += [(seed, name, "", value) for name, value in overall.items()]
        table = per_class(y_true, predicted, class_names)
        for metric in ("precision", "recall", "f1"):
            rows += [(seed, metric, *item) for item in table[metric].items()]
    return pd.DataFrame(rows, columns=["seed", "metric", "class", "value"])


@dataclass(frozen=True)
class Interval:
    """A difference b - a with its bootstrap interval.

    ``delta``, ``low`` and ``high`` are floats, or (C,) arrays for a metric
    of each class. ``fewest_units`` is the number of independent units of
    the class that has fewest: with a handful of them no interval is to be
    trusted, and with one there is none (NaN).
    """

    delta: float | np.ndarray
    low: float | np.ndarray
    high: float | np.ndarray
    level: float
    n_units: int
    fewest_units: int


def bootstrap(
    y_true,
    predictions: dict[str, np.ndarray],
    units,
    n_classes: int,
    metric: Metric = macro_f1_from,
    n_boot: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Score each method with an interval that resamples independent units.

    Whole units (for instance the sources that pictures are copies of) are
    drawn with replacement within their class, which is the class of most of
    their pictures; each seed is scored on a resample and the seeds' scores
    are averaged. The interval is the percentile interval of these averages
    (Efron & Tibshirani 1993, chapter 13). It tells how the score would move
    with other test pictures and these same networks; the spread over seeds
    stands beside it, as the standard deviation ``std``. With n units in a
    class it is short by a factor of √((n - 1)/n), and with one there is none
    (NaN): see ``fewest_units``.

    Args:
        y_true: true classes, (N,).
        predictions: for each method, predicted classes, (S, N) for S seeds
            or reshuffles, or (N,).
        units: the unit of each picture, (N,), or None: each its own.
        n_classes: number of classes C.
        metric: from confusion matrices (..., C, C) to (...) or (..., C).
        n_boot: number of resamples.
        seed: of the resampling; the same seed draws the same resamples.
        level: share of the resamples between ``low`` and ``high``.

    Returns:
        One row a method (for a metric of each class: one a method and
        class, with the class's number in the column ``class``): method,
        mean, low, high, std, n_seeds, n_units, fewest_units.
    """
    rows = []
    for method, predicted in predictions.items():
        run = _resample(
            y_true, [predicted], units, n_classes, metric, n_boot, seed
        )
        low, high = run.bounds(run.resampled[0], level)
        by_seed = run.by_seed[0]
        n_seeds, *of_class = by_seed.shape
        row = {
            "method": method,
            "mean": by_seed.mean(axis=0),
            "low": low,
            "high": high,
            "std": by_seed.std(axis=0, ddof=1) if n_seeds > 1 else np.nan,
            "n_seeds": n_seeds,
            "n_units": run.n_units,
            "fewest_units": run.fewest_units,
        }
        table = pd.DataFrame(row, index=range(*(of_class or [1])))
        if of_class:
            table.insert(1, "class", table.index)
        rows.append(table)
    return pd.concat(rows, ignore_index=True)


def bootstrap_difference(
    y_true,
    a,
    b,
    units,
    n_classes: int,
    metric: Metric = macro_f1_from,
    n_boot: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """How much b scores above a, both on the same resamples.

    The arguments are those of `bootstrap`; ``a`` and ``b`` are predicted
    classes, (S, N) or (N,). They need not have equally many seeds.
    """
    run = _resample(y_true, [a, b], units, n_classes, metric, n_boot, seed)
    mean_a, mean_b = (by_seed.mean(axis=0) for by_seed in run.by_seed)
    low, high = run.bounds(run.resampled[1] - run.resampled[0], level)
    values = [mean_b - mean_a, low, high]
    if np.ndim(mean_a) == 0:
        values = [float(value) for value in values]
    return Interval(*values, level, run.n_units, run.fewest_units)


class McNemar(NamedTuple):
    """Pictures that only one of two classifiers gets right, and p."""

    b_only: int
    a_only: int
    p: float


def mcnemar(y_true, a, b) -> McNemar:
    """McNemar's exact test of two classifiers on the same pictures.

    ``y_true``, ``a`` and ``b`` are (N,): one seed at a time, since the same
    pictures counted once a seed would pass for new ones. The test takes
    pictures for independent; where they are copies of each other, p is too
    small.
    """
    y_true, a, b = (np.asarray(values) for values in (y_true, a, b))
    if not y_true.ndim == a.ndim == b.ndim == 1 or not (
        y_true.shape == a.shape == b.shape
    ):
        raise ValueError(
            "mcnemar compares one seed at a time: y_true, a and b must be "
            f"(N,), not {y_true.shape}, {a.shape} and {b.shape}"
        )
    b_only = int(np.sum((b == y_true) & (a != y_true)))
    a_only = int(np.sum((a == y_true) & (b != y_true)))
    if b_only + a_only == 0:
        return McNemar(0, 0, 1.0)
    test = stats.binomtest(b_only, b_only + a_only, 0.5)
    return McNemar(b_only, a_only, float(test.pvalue))


def pareto(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Is ``after`` a Pareto improvement: no class loses, one at least gains?

    Both are tables as `per_class` makes them, or as published, with the
    classes in the index and any of the columns f1, precision, recall.
    Returns one row a metric: how many classes gain, stay the same (to
    1e-9) or lose, which ones lose, and ``improvement`` (bool).
    """
    rows = []
    for metric in [c for c in ("f1", "precision", "recall") if c in before]:
        change = after[metric].reindex(before.index) - before[metric]
        if change.isna().any():
            missing = ", ".join(change.index[change.isna()])
            raise ValueError(f"pareto: no {metric} to compare for {missing}")
        gain, lose = change > 1e-9, change < -1e-9
        rows.append(
            {
                "metric": metric,
                "gain": int(gain.sum()),
                "same": int((~gain & ~lose).sum()),
                "lose": int(lose.sum()),
                "losers": ", ".join(change.index[lose]),
                "improvement": bool(gain.any() and not lose.any()),
            }
        )
    return pd.DataFrame(rows)


def prediction_interval(values, level: float = 0.95) -> tuple[float, float]:
    """Where one more run would fall, given n runs: mean ± t·s·√(1 + 1/n)."""
    values = np.asarray(values, dtype=float)
    n = len(values)
    if n < 2:
        raise ValueError(
            f"prediction_interval needs at least 2 runs to tell their "
            f"spread, and got {n}: use more seeds"
        )
    t = stats.t.ppf((1 + level) / 2, df=n - 1)
    half = t * values.std(ddof=1) * np.sqrt(1 + 1 / n)
    return float(values.mean() - half), float(values.mean() + half)


class _Resamples(NamedTuple):
    by_seed: list[np.ndarray]
    resampled: list[np.ndarray]
    n_units: int
    fewest_units: int

    def bounds(self, draws: np.ndarray, level: float):
        """Percentile interval; none where a class cannot vary at all."""
        tail = (1 - level) / 2
        low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
        if self.fewest_units < 2:
            return np.full_like(low, np.nan), np.full_like(high, np.nan)
        return low, high


def _resample(y_true, runs, units, n_classes, metric, n_boot, seed):
    """Score several predictions on the same resamples of the units."""
    runs = [np.atleast_2d(_checked(y_true, r, n_classes)[1]) for r in runs]
    y_true = np.asarray(y_true)
    unit, members = _units_by_class(y_true, units, n_classes)
    n_units = unit.max() + 1

    # A resample is a row of how often it holds each unit, so its confusion
    # matrices are that row times the matrices of the units.
    tables = [_unit_tables(y_true, r, unit, n_units, n_classes) for r in runs]
    rng = np.random.default_rng(seed)
    parts = [[] for _ in runs]
    block = max(1, _BLOCK // n_units)
    for start in range(0, n_boot, block):
        n_draws = min(block, n_boot - start)
        times = _draw_units(members, n_units, n_draws, rng)
        for part, table, run in zip(parts, tables, runs, strict=True):
            drawn = (times @ table).reshape(-1, len(run), n_classes, n_classes)
            part.append(metric(drawn).mean(axis=1))
    by_seed = [metric(confusion(y_true, run, n_classes)) for run in runs]
    resampled = [np.concatenate(part) for part in parts]
    fewest = min(map(len, members))
    return _Resamples(by_seed, resampled, int(n_units), fewest)


def _units_by_class(y_true, units, n_classes):
    """The number of each picture's unit, (N,), and each class's units.

    A unit belongs to the class of most of its pictures.
    """
    if units is None:
        units = np.arange(len(y_true))
    if np.shape(units) != y_true.shape:
        raise ValueError(
            f"units must name the unit of each of the {len(y_true)} "
            f"pictures; its shape is {np.shape(units)}"
        )
    unit = np.unique(units, return_inverse=True)[1]
    votes = np.zeros((unit.max() + 1, n_classes), dtype=np.int64)
    np.add.at(votes, (unit, y_true), 1)
    members = [np.flatnonzero(votes.argmax(1) == c) for c in range(n_classes)]
    return unit, [of_class for of_class in members if len(of_class)]


def _draw_units(members, n_units, n_draws, rng) -> np.ndarray:
    """How often each unit is drawn, within its class: (n_draws, U)."""
    times = np.zeros((n_draws, n_units))
    for units_of_class in members:
        n = len(units_of_class)
        picks = rng.integers(n, size=(n_draws, n))
        picks += np.arange(n_draws)[:, None] * n
        drawn = np.bincount(picks.ravel(), minlength=n_draws * n)
        times[:, units_of_class] = drawn.reshape(n_draws, n)
    return times


def _unit_tables(y_true, runs, unit, n_units, n_classes) -> np.ndarray:
    """Confusion matrices of each unit and seed, flat: (U, S·C·C)."""
    n_seeds, cells = len(runs), n_classes**2
    place = (unit * n_seeds + np.arange(n_seeds)[:, None]) * cells
    place += y_true * n_classes + runs
    counts = np.bincount(place.ravel(), minlength=n_units * n_seeds * cells)
    return counts.reshape(n_units, -1).astype(float)


def _hits(confusions: np.ndarray) -> np.ndarray:
    return np.diagonal(confusions, axis1=-2, axis2=-1)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part over whole, and 0 for nothing of nothing."""
    return part / np.where(whole == 0, 1, whole)


def _checked(y_true, y_pred, n_classes):
    """Class numbers as int64 arrays of fitting shapes, or a ValueError."""
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    if y_true.ndim != 1 or not len(y_true):
        raise ValueError(f"y_true must be (N,) with N > 0, not {y_true.shape}")
    if y_pred.ndim > 2 or y_pred.shape[-1:] != y_true.shape:
        raise ValueError(
            f"predictions must be (N,) or (S, N) with N = {len(y_true)}, "
            f"as y_true; their shape is {y_pred.shape}"
        )
    for name, values in (("y_true", y_true), ("predictions", y_pred)):
        if values.dtype.kind not in "iu":
            raise ValueError(
                f"{name} must be class numbers (integers), not "
                f"{values.dtype}: take the argmax of scores first"
            )
        if values.min() < 0 or values.max() >= n_classes:
            raise ValueError(
                f"{name} hold classes {values.min()} to {values.max()}; "
                f"with {n_classes} classes they must be 0 to {n_classes - 1}"
            )
    return y_true.astype(np.int64), y_pred.astype(np.int64)
