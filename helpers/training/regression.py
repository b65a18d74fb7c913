"""Softmax regression by hand, with a look at what each class contributes.

In float64 NumPy, small enough to train anew for every question about a loss.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import expit

Weigh = Callable[[np.ndarray, np.ndarray], np.ndarray]


def train_by_hand(
    x: np.ndarray,
    labels: np.ndarray,
    batches: np.ndarray,
    weigh: Weigh,
    n_classes: int,
    rate: float = 0.01,
) -> tuple[np.ndarray, np.ndarray]:
    """Train logits x @ w, from w = 0, by Adam on weighted cross-entropy.

    Adam as in Kingma and Ba (2015), arXiv:1412.6980, algorithm 1, with their
    numbers; epsilon is 1e-7.

    Parameters
    ----------
    x : float (N, F); a column of ones makes a bias
    labels : int (N,), 0 ... C - 1
    batches : int (T, B), the rows of each step
    weigh : from a batch's labels and cross-entropies, each (B,), to the
        weights of its samples, (B,), which are constants to the gradient
    rate : of learning

    Returns
    -------
    w, float64 (F, C), and totals, float64 (2, T, C): in every batch the
    summed cross-entropy of each class before the weights and after.
    """
    w, m, v = (np.zeros((x.shape[1], n_classes)) for _ in range(3))
    totals = np.empty((2, len(batches), n_classes))
    for step, rows in enumerate(batches):
        y, logits = labels[rows], x[rows] @ w
        true = np.eye(n_classes, dtype=bool)[y]
        # From the odds: what is left of 1 - p is not lost in rounding.
        others = np.where(true, -np.inf, logits)
        top = others.max(axis=1, keepdims=True)
        powers = np.exp(others - top)
        rest = powers.sum(axis=1, keepdims=True)
        against = top + np.log(rest) - logits[true][:, None]
        losses = np.logaddexp(0, against[:, 0])
        weights = weigh(y, losses)
        for place, own in enumerate((losses, weights * losses)):
            totals[place, step] = np.bincount(y, own, n_classes)
        pull = expit(against) * (powers / rest - true)
        gradient = x[rows].T @ (weights[:, None] * pull) / len(rows)
        m += 0.1 * (gradient - m)
        v += 0.001 * (gradient**2 - v)
        size = np.sqrt(v / (1 - 0.999 ** (step + 1))) + 1e-7
        w -= rate * m / (1 - 0.9 ** (step + 1)) / size
    return w, totals
