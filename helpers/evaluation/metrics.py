"""Scores of predicted classes, all from confusion matrices.

A confusion matrix has the true class on the rows and may have any leading
axes ``(..., C, C)``, so that one line scores one run, five seeds or two
thousand resamples. A ratio of nothing to nothing counts as 0, as with
scikit-learn's ``zero_division=0``.
"""

import numpy as np
import pandas as pd


def confusion_matrix(y_true, y_pred, n_classes: int) -> np.ndarray:
    """Images of each true class (rows) given each predicted class, int64.

    ``y_true`` is (N,), ``y_pred`` (N,) or, for S seeds, (S, N), both of
    classes 0 … C-1. Returns (C, C) or (S, C, C).
    """
    y_true, y_pred = checked_classes(y_true, y_pred, n_classes)
    runs, one = np.atleast_2d(y_pred), np.zeros_like(y_true)
    table = confusion_of_groups(y_true, runs, one, n_classes)[0]
    return table.reshape(*y_pred.shape[:-1], n_classes, n_classes)


def confusion_of_groups(y_true, runs, group, n_classes: int) -> np.ndarray:
    """Confusion matrices of each group's images: (G, S, C, C).

    ``y_true`` is (N,), ``runs`` (S, N); ``group`` (N,) holds 0 … G-1.
    """
    shape = int(group.max()) + 1, len(runs), n_classes, n_classes
    seed = np.arange(len(runs))[:, None]
    cell = np.ravel_multi_index((group, seed, y_true, runs), shape)
    return np.bincount(cell.ravel(), minlength=np.prod(shape)).reshape(shape)


def accuracy_from(confusions: np.ndarray) -> np.ndarray:
    """Share of images given their true class: (..., C, C) -> (...)."""
    return _ratio(_hits(confusions).sum(-1), confusions.sum(axis=(-2, -1)))


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
    """Mean of the classes' F1: (..., C, C) -> (...); absent ones count 0."""
    return f1_from(confusions).mean(axis=-1)


def balanced_accuracy_from(confusions: np.ndarray) -> np.ndarray:
    """Mean recall of the classes that are present: (..., C, C) -> (...)."""
    present = confusions.sum(axis=-1) > 0
    return _ratio(recall_from(confusions).sum(axis=-1), present.sum(axis=-1))


def quadratic_kappa_from(confusions: np.ndarray) -> np.ndarray:
    """Quadratically weighted kappa: (..., C, C) -> (...).

    Cohen, *Weighted kappa*, Psychological Bulletin 70, 1968,
    doi:10.1037/h0026256: 1 - sum(w O) / sum(w E) with w = (i - j)^2, the
    counts O and the counts E that the same true and predicted grades would
    give by chance. Where both hold one and the same grade only, kappa counts
    as 0; scikit-learn's is NaN.
    """
    grade = np.arange(confusions.shape[-1])
    distance = (grade[:, None] - grade) ** 2
    total = confusions.sum(axis=(-2, -1), keepdims=True)
    of_true = confusions.sum(axis=-1, keepdims=True)
    chance = of_true * confusions.sum(axis=-2, keepdims=True)
    missed = (distance * confusions).sum(axis=(-2, -1))
    by_chance = (distance * _ratio(chance, total)).sum(axis=(-2, -1))
    return _ratio(by_chance - missed, by_chance)


def per_class(y_true, y_pred, class_names) -> pd.DataFrame:
    """Precision, recall, F1 and support of each class, from (N,) and (N,)."""
    table = confusion_matrix(y_true, y_pred, len(class_names))
    columns = {
        "precision": precision_from(table),
        "recall": recall_from(table),
        "f1": f1_from(table),
        "support": table.sum(axis=-1),
    }
    return pd.DataFrame(columns, pd.Index(class_names, name="class"))


def scores(y_true, y_pred, n_classes: int) -> dict[str, float]:
    """The scores of one run, (N,) against (N,), by name."""
    table = confusion_matrix(y_true, y_pred, n_classes)
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

    ``predictions`` is (S, N), a row a seed. Columns: seed, metric (those of
    `scores` and of `per_class`), class ("" = over all classes), value.
    """
    rows = []
    for seed, predicted in zip(seeds, predictions, strict=True):
        overall = scores(y_true, predicted, len(class_names))
        rows += [(seed, name, "", value) for name, value in overall.items()]
        table = per_class(y_true, predicted, class_names)
        for metric in ("precision", "recall", "f1"):
            rows += [(seed, metric, *item) for item in table[metric].items()]
    return pd.DataFrame(rows, columns=["seed", "metric", "class", "value"])


def _hits(confusions):
    return np.diagonal(confusions, axis1=-2, axis2=-1)


def _ratio(part, whole):
    """Part over whole, and 0 for nothing of nothing."""
    return part / np.where(whole == 0, 1, whole)


def checked_classes(y_true, y_pred, n_classes):
    """Class numbers as int64 arrays of fitting shapes, or a ValueError."""
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    if not y_true.size or y_pred.shape not in (
        y_true.shape,
        (len(y_pred), len(y_true)),
    ):
        raise ValueError(
            "expected y_true (N,) with N > 0 and predictions (N,) or (S, N), "
            f"not {y_true.shape} and {y_pred.shape}"
        )
    for name, values in (("y_true", y_true), ("predictions", y_pred)):
        low, high = values.min(), values.max()
        if values.dtype.kind not in "iu" or low < 0 or high >= n_classes:
            raise ValueError(
                f"{name} must be class numbers, integers 0 to "
                f"{n_classes - 1} (of scores: their argmax), not "
                f"{values.dtype} from {low} to {high}"
            )
    return y_true.astype(np.int64), y_pred.astype(np.int64)
