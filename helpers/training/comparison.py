"""What all trainings of a comparison share: batches, methods, the result."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product

import keras
import numpy as np
import pandas as pd
from scipy.special import log_softmax

from helpers.evaluation import (
    confusion_matrix,
    fit_calibration,
    macro_f1_from,
)
from helpers.imbalance import Split, class_counts, resample
from helpers.methods import METHODS, Method, check_labels
from helpers.training.recipe import Recipe


def epoch_batches(
    labels: np.ndarray,
    runs: list[Split],
    epochs: int,
    batch_size: int,
    *,
    n_views: int = 1,
    sampler: str | None = None,
) -> np.ndarray:
    """Rows of every step, int32 (epochs * steps, R, batch): view * N + row.

    An epoch is ``ceil(n / batch_size)`` batches, n the largest training set
    of the runs, from each run's own endless shuffled stream: every row once
    before any row twice.  At each visit a row's view is drawn anew.

    Parameters
    ----------
    runs : one `Split` a run; its ``seed`` draws order and views
    n_views : of each row
    sampler : None, or what `helpers.imbalance.resample` calls it; asked once
        a run which rows make up the stream
    """
    n = max(len(run.train) for run in runs)
    steps = -(-n // batch_size) * epochs
    streams = []
    for run in runs:
        pool = run.train
        if sampler:
            pool = pool[resample(labels[pool], sampler, run.seed)]
        generator = np.random.default_rng(run.seed)
        passes = -(-steps * batch_size // len(pool))
        stream = np.concatenate(
            [generator.permutation(pool) for _ in range(passes)]
        )[: steps * batch_size]
        views = generator.integers(n_views, size=len(stream))
        stream = views * len(labels) + stream
        streams.append(stream.reshape(steps, batch_size))
    return np.stack(streams, axis=1).astype("int32")


def training_counts(labels: np.ndarray, runs: list[Split]) -> np.ndarray:
    """Samples a class in each run's training set, int (R, C)."""
    n_classes = int(labels.max()) + 1
    return np.stack([class_counts(labels[r.train], n_classes) for r in runs])


def chosen_methods(
    names: list[str],
    labels: np.ndarray,
    runs: list[Split],
    recipe: Recipe,
    cosine: bool = True,
) -> list[Method]:
    """Methods by name, late weights timed by the recipe.

    Raises ValueError, before training rather than after, where a name is
    unknown or (unless ``cosine``) needs a cosine classifier, where labels
    are no class indices, and where a run lacks the validation that the
    recipe or a decision rule needs.
    """
    fit = [name for name, m in METHODS.items() if cosine or not m.cosine]
    unfit = [name for name in names if name not in fit]
    if unfit:
        raise ValueError(f"methods: {unfit} not in {sorted(fit)}")
    check_labels(labels)
    methods = [recipe.timed(METHODS[name]) for name in names]
    without = [run for run in runs if not len(run.val)]
    if without and recipe.keep == "best":
        raise ValueError(
            f"run {without[0].name!r} has no validation to choose an epoch by"
        )
    # Rules on the logits of no row, to see whether they can decide.
    n_classes = int(labels.max()) + 1
    none = np.zeros((len(methods), len(without), 0, n_classes))
    decide(none, labels, without, methods)
    return methods


def decide(
    logits: np.ndarray,
    labels: np.ndarray,
    runs: list[Split],
    methods: list[Method],
) -> None:
    """Add each decision rule's offsets to its method's logits, in place."""
    for own, method in zip(logits, methods, strict=True):
        for z, run in zip(own, runs, strict=True) if method.decision else ():
            counts = training_counts(labels, [run])[0]
            try:
                z += method.decision(z[run.val], labels[run.val], counts)
            except ValueError as error:
                raise ValueError(
                    f"methods: {method.name!r} decides by validation, and "
                    f"run {run.name!r} has none that fits"
                ) from error


@dataclass(frozen=True)
class Trained:
    """What M methods learnt in R runs on N rows of C classes.

    Attributes
    ----------
    methods, runs : names of the methods, and runs, in order
    logits : float32 (M, R, N, C) of all rows, the plain view, with the
        weights of the epoch that counts
    best_epoch : int (M, R), that epoch, counted from 1: the highest macro-F1
        on validation, the earliest one of equals, or the last epoch
    history : one row a (method, split, seed, epoch, part, metric); "loss" is
        plain cross-entropy for every method, so curves compare; "train" is
        measured while training, with augmentation and dropout
    seconds : of the whole training
    devices : where networks were trained one after another
    each_seconds : then, (M, R), of each training's epochs; a method's first
        training compiles the program, too
    """

    methods: tuple[str, ...]
    runs: tuple[Split, ...]
    logits: np.ndarray
    best_epoch: np.ndarray
    history: pd.DataFrame
    seconds: float
    devices: tuple[str, ...] = ()
    each_seconds: np.ndarray | None = None

    def tested(self, method: str, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Logits of a method on the rows its runs on a split kept for test.

        Runs of one seed are folds: their test sets are pooled, so that each
        row is judged by the run that did not see it.

        Returns the tested rows, int64 (T,), and logits, float32 (S, T, C),
        one for each seed.  Raises ValueError where no run is of that split
        or where the seeds do not test the same rows, each once.
        """
        logits = self.logits[self.methods.index(method)]
        folds = {}
        for run, z in zip(self.runs, logits, strict=True):
            if run.name == split:
                folds.setdefault(run.seed, []).append((run.test, z[run.test]))
        if not folds:
            raise ValueError(f"split: no run is named {split!r}")
        rows, pooled = [], []
        for each in folds.values():
            tested, z = map(np.concatenate, zip(*each, strict=True))
            order = np.argsort(tested)
            rows.append(tested[order])
            pooled.append(z[order])
        same = all(np.array_equal(rows[0], other) for other in rows)
        if not same or len(np.unique(rows[0])) < len(rows[0]):
            raise ValueError(
                f"split {split!r}: the seeds do not test the same rows once"
            )
        return rows[0], np.stack(pooled)

    def calibrated(
        self, labels: np.ndarray, offsets: bool = False
    ) -> tuple["Trained", np.ndarray]:
        """Each run's logits, calibrated on its validation set.

        labels: int (N,); offsets: see `helpers.evaluation.fit_calibration`.
        Returns what was trained, with other logits, and the fitted
        temperature and offsets, float64 (M, R, 1 + C).
        """
        logits = self.logits.copy()
        n_methods, n_runs, _, n_classes = logits.shape
        fits = np.empty((n_methods, n_runs, 1 + n_classes))
        for m, (r, run) in product(range(n_methods), enumerate(self.runs)):
            z = logits[m, r]
            fit = fit_calibration(z[run.val], labels[run.val], offsets)
            logits[m, r], fits[m, r] = fit(z), [fit.temperature, *fit.offsets]
        return replace(self, logits=logits), fits


def epoch_scores(labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """Plain cross-entropy ("loss"), accuracy and macro-F1 of logits (N, C)."""
    log_p = log_softmax(logits, axis=-1)[np.arange(len(labels)), labels]
    predicted = logits.argmax(axis=-1)
    table = confusion_matrix(labels, predicted, logits.shape[-1])
    return {
        "loss": float(-log_p.mean()),
        "accuracy": float((predicted == labels).mean()),
        "macro_f1": float(macro_f1_from(table)),
    }


class Epochs(keras.callbacks.Callback):
    """Scores M x R networks after each epoch, and tells which are to be kept.

    running : from Keras' logs to cross-entropy and accuracy while training,
        (2, R, M)
    logits : from R equally long arrays of rows to logits (M, R, n, C)
    keep : is told which networks are better than ever, bool (M, R), after
        each epoch where the recipe keeps the best one
    """

    def __init__(
        self, labels, runs, methods, recipe, test_curves, running, logits, keep
    ):
        super().__init__()
        self.labels, self.runs, self.methods = labels, runs, methods
        self.running, self.logits, self.keep = running, logits, keep
        self.choose, self.history = recipe.keep == "best", []
        shape = (len(methods), len(runs))
        self.best_epoch = np.full(shape, 0 if self.choose else recipe.epochs)
        self.best_score = np.full(shape, -1.0)
        late = [method.late_epoch(recipe.epochs) for method in methods]
        self.first_epochs = np.reshape(late, (-1, 1))
        self.rows = {}
        for part in ["val"] * self.choose + ["test"] * test_curves:
            rows = [getattr(run, part) for run in runs]
            longest = max(map(len, rows))
            self.rows[part] = [np.resize(each, longest) for each in rows]

    def on_epoch_end(self, epoch, logs=None):
        running = self.running(logs)
        logits = {part: self.logits(rows) for part, rows in self.rows.items()}
        score = np.full(self.best_score.shape, -1.0)
        for r, run in enumerate(self.runs):
            for m, method in enumerate(self.methods):
                loss, accuracy = running[:, r, m]
                scores = {"train": {"loss": loss, "accuracy": accuracy}}
                for part, z in logits.items():
                    labels = self.labels[getattr(run, part)]
                    scores[part] = epoch_scores(labels, z[m, r, : len(labels)])
                if self.choose:
                    score[m, r] = scores["val"]["macro_f1"]
                key = {"method": method.name, "split": run.name}
                key |= {"seed": run.seed, "epoch": epoch + 1}
                self.history += [
                    key | {"part": part, "metric": k, "value": float(v)}
                    for part, values in scores.items()
                    for k, v in values.items()
                ]
        if self.choose:
            better = (score > self.best_score) & (epoch >= self.first_epochs)
            self.best_score[better] = score[better]
            self.best_epoch[better] = epoch + 1
            self.keep(better)


def two_at_a_time(function: Callable, items: Sequence) -> list:
    """``map`` in two threads: the function's results, in the items' order.

    A small program keeps no more than one core busy.  Items want models of
    their own, whose initial weights do not come from Keras' global seed.
    """
    if len(items) < 2:
        return [function(item) for item in items]
    # Keras keeps a thread's precision apart from that of the others.
    precision = keras.config.set_dtype_policy, [keras.config.dtype_policy()]
    with ThreadPoolExecutor(2, "", *precision) as pool:
        return list(pool.map(function, items))
