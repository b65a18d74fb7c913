"""What every trainer returns, and the scores of an epoch."""

from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd
from scipy.special import log_softmax

from helpers.evaluation import confusion_matrix, macro_f1_from
from helpers.imbalance import Split


@dataclass(frozen=True)
class Trained:
    """What M methods learnt in R runs on N rows of C classes.

    Attributes
    ----------
    methods : names, in the order of the first axis
    runs : the runs, in the order of the second axis
    logits : float32 (M, R, N, C) of all rows, the plain view, with the
        weights of the epoch that counts
    best_epoch : int (M, R), that epoch, counted from 1: the highest macro-F1
        on validation, the earliest one of equals, or the last epoch
    history : one row a (method, split, seed, epoch, part, metric); "loss" is
        plain cross-entropy for every method, so curves compare; "train" is
        measured while training, with augmentation and dropout
    seconds : of the whole training
    devices : where networks were trained one after another, as a result
        names it
    """

    methods: tuple[str, ...]
    runs: tuple[Split, ...]
    logits: np.ndarray
    best_epoch: np.ndarray
    history: pd.DataFrame
    seconds: float
    devices: tuple[str, ...] = ()

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
        tested = []
        for each in folds.values():
            rows, z = (
                np.concatenate(values) for values in zip(*each, strict=True)
            )
            order = np.argsort(rows)
            tested.append((rows[order], z[order]))
        rows = tested[0][0]
        if len(np.unique(rows)) < len(rows) or any(
            not np.array_equal(rows, other) for other, _ in tested
        ):
            raise ValueError(
                f"split {split!r}: the seeds do not test the same rows once"
            )
        return rows, np.stack([z for _, z in tested])


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

    Parameters
    ----------
    labels, runs, methods, recipe : of the training
    test_curves : whether the test set is scored too
    running : from Keras' logs to cross-entropy and accuracy while training,
        (2, R, M)
    logits : from R equally long arrays of rows to logits (M, R, n, C)
    keep : is told which networks are better than ever, bool (M, R), after
        each epoch where the recipe keeps the best one

    Attributes
    ----------
    history : rows of `Trained.history`
    best_epoch : int (M, R)
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
            longest = max(len(own) for own in rows)
            self.rows[part] = [np.resize(own, longest) for own in rows]

    def on_epoch_end(self, epoch, logs=None):
        running = self.running(logs)
        logits = {part: self.logits(rows) for part, rows in self.rows.items()}
        found = np.full(self.best_score.shape, -1.0)
        for r, run in enumerate(self.runs):
            for m, method in enumerate(self.methods):
                loss, accuracy = running[:, r, m]
                scores = {"train": {"loss": loss, "accuracy": accuracy}}
                for part, z in logits.items():
                    labels = self.labels[getattr(run, part)]
                    own = z[m, r, : len(labels)]
                    scores[part] = epoch_scores(labels, own)
                if self.choose:
                    found[m, r] = scores["val"]["macro_f1"]
                key = {"method": method.name, "split": run.name}
                key |= {"seed": run.seed, "epoch": epoch + 1}
                self.history += [
                    key | {"part": part, "metric": k, "value": float(v)}
                    for part, values in scores.items()
                    for k, v in values.items()
                ]
        if self.choose:
            better = (found > self.best_score) & (epoch >= self.first_epochs)
            self.best_score[better] = found[better]
            self.best_epoch[better] = epoch + 1
            self.keep(better)
