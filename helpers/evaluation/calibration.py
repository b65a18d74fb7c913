"""How far probabilities can be trusted, and what decisions by them cost.

Reliability, ECE and temperature scaling: Guo et al. (2017), arXiv:1706.04599;
bins of equal mass and ECE by class: Nixon et al. (2019), arXiv:1904.01685;
offsets beside the temperature: Alexandari, Kundaje & Shrikumar (2020),
arXiv:1901.06852; least expected cost: Elkan, *The Foundations of
Cost-Sensitive Learning*, IJCAI 2001.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.metrics import brier_score_loss, log_loss

BINS = 15
"""Of a reliability plot and of ECE; each holds equally many images."""

# Keeps finite what validation images that are all right leave open: it weighs
# as much as a tenth of an image.
_RIDGE = 0.1


class Calibration(NamedTuple):
    """What turns logits z into ``z / temperature + offsets``."""

    temperature: float
    offsets: np.ndarray

    def __call__(self, logits) -> np.ndarray:
        """Calibrated logits (..., C)."""
        return np.asarray(logits) / self.temperature + self.offsets


def fit_calibration(logits, y_true, offsets: bool = False) -> Calibration:
    """Temperature scaling: the temperature with the least log loss.

    One temperature changes no decision by the largest probability. With
    ``offsets``, a number a class is fitted, too, which moves the probabilities
    to the class shares of these images.

    logits : float (N, C) of *validation* images; y_true : int (N,)

    Logits that are twice the logarithms of the true probabilities want the
    temperature 2. Raises ValueError where the shapes do not fit.
    """
    logits, y_true = np.asarray(logits, float), np.asarray(y_true)
    if logits.ndim != 2 or y_true.shape != logits.shape[:1] or not len(y_true):
        raise ValueError(
            "expected logits (N, C) and y_true (N,) with N > 0, not "
            f"{logits.shape} and {y_true.shape}"
        )
    n, n_classes = logits.shape
    truth = np.eye(n_classes)[y_true]
    ridge = _RIDGE / n

    def loss_and_gradient(x):
        scale, shift = np.exp(x[0]), x[1:] if offsets else 0
        log_p = log_softmax(scale * logits + shift, axis=1)
        slope = (np.exp(log_p) - truth) / n
        loss = -(truth * log_p).sum() / n + ridge * x @ x / 2
        by_scale = scale * (slope * logits).sum()
        by_shift = slope.sum(axis=0)[: len(x) - 1]
        return loss, np.r_[by_scale, by_shift] + ridge * x

    # The logarithm of the scale, then the offsets. SciPy's "BFGS" is a few
    # lines of NumPy; "L-BFGS-B" would start threads for six numbers.
    start = np.zeros(1 + n_classes * offsets)
    x = minimize(loss_and_gradient, start, jac=True, method="BFGS").x
    shift = x[1:] if offsets else np.zeros(n_classes)
    return Calibration(float(np.exp(-x[0])), shift)


def reliability(confidence, correct, bins: int = BINS) -> pd.DataFrame:
    """Mean confidence and share of right ones in bins of equal mass.

    confidence : float (N,), the probability that was given to an event, such
        as the largest one of each image; correct : bool (N,), whether it came
        true. Returns a row a bin: confidence, share, images.
    """
    table = pd.DataFrame({"confidence": confidence, "share": correct})
    table = table.sort_values("confidence", ignore_index=True, kind="stable")
    starts = _starts(len(table), bins)
    number = np.searchsorted(starts, table.index, side="right")
    means = table.astype(float).groupby(number).mean()
    return means.assign(images=np.bincount(number)[1:])


def calibration_error(confidence, correct, bins: int = BINS):
    """ECE: the mean over bins of |share of right ones - mean confidence|.

    confidence : float (N,); correct : bool (N,), or (D, N) for D outcomes.
    Bins have equal mass and weigh as many images as they hold. Confidence 0.9
    in four images of which three are right gives, in one bin, 0.15.
    """
    confidence = np.asarray(confidence, float)
    order = np.argsort(confidence, kind="stable")
    gaps = (np.asarray(correct) - confidence)[..., order]
    sums = np.add.reduceat(gaps, _starts(len(order), bins), axis=-1)
    return np.abs(sums).sum(axis=-1) / len(order)


def calibration_floor(confidence, draws: int = 100, seed: int = 0) -> float:
    """The ECE to be expected if the confidences were exactly right.

    Outcomes of the N images are drawn with these probabilities,
    independently: where images come in groups, the floor lies higher.
    """
    confidence = np.asarray(confidence, float)
    chance = np.random.default_rng(seed).random((draws, len(confidence)))
    return float(calibration_error(confidence, chance < confidence).mean())


def calibration_scores(y_true, probabilities) -> dict[str, float]:
    """ECE and its floor, ECE by class, Brier score and log loss.

    y_true : int (N,); probabilities : (N, C) or, for S seeds, (S, N, C),
    whose scores are averaged. The Brier score sums the squared errors over
    the classes (0 to 2); ``nll`` is the mean of -log p of the true class.
    """
    y_true = np.asarray(y_true)
    runs = np.asarray(probabilities, float)
    runs = runs if runs.ndim == 3 else runs[None]
    if runs.shape[1:-1] != y_true.shape:
        raise ValueError(
            f"expected probabilities ({len(y_true)}, C) or (S, "
            f"{len(y_true)}, C), not {np.shape(probabilities)}"
        )
    return pd.DataFrame([_scores(y_true, p) for p in runs]).mean().to_dict()


def _scores(y_true, p):
    classes = np.arange(p.shape[1])
    confidence, correct = p.max(axis=1), p.argmax(axis=1) == y_true
    by_class = [calibration_error(p[:, c], y_true == c) for c in classes]
    return {
        "ece": calibration_error(confidence, correct),
        "ece_floor": calibration_floor(confidence),
        "classwise_ece": np.mean(by_class),
        "brier": brier_score_loss(
            y_true, p, labels=classes, scale_by_half=False
        ),
        "nll": log_loss(y_true, p, labels=classes),
    }


def least_cost(probabilities, costs) -> np.ndarray:
    """The decisions with the least expected cost: (..., C) -> int (...).

    costs : (C, C), that of deciding for class j (column) where i (row) is
    true. For two classes with the costs ((0, 1), (k, 0)), class 1 is decided
    for once its probability exceeds 1 / (1 + k).
    """
    return (np.asarray(probabilities) @ np.asarray(costs)).argmin(axis=-1)


def mean_cost_from(costs) -> Callable[[np.ndarray], np.ndarray]:
    """The metric "cost an image": confusion matrices (..., C, C) -> (...).

    costs : as in `least_cost`. To be passed as ``metric`` to `bootstrap` and
    `differences`.
    """
    costs = np.asarray(costs, float)

    def mean_cost(confusions):
        total = (confusions * costs).sum(axis=(-2, -1))
        return total / confusions.sum(axis=(-2, -1))

    return mean_cost


def _starts(n: int, bins: int) -> np.ndarray:
    """Where each of at most ``bins`` equal parts of n rows begins."""
    bins = min(bins, n)
    return np.arange(bins) * n // bins
