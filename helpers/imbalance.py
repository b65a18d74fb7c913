"""How imbalanced a data set is: counts, the ratio, and eq. (1) weights."""

import numpy as np


def class_counts(labels, n_classes: int) -> np.ndarray:
    """Count the pictures of each class.

    labels: (N,) integers in 0 … n_classes-1. Returns (C,) int64; a class
    that does not occur counts 0. Raises ValueError for any other label.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            "labels: expected a vector of integers, got "
            f"{labels.dtype} of shape {labels.shape}"
        )
    if labels.size and not (0 <= labels.min() <= labels.max() < n_classes):
        raise ValueError(
            f"labels: expected 0 to {n_classes - 1}, got "
            f"{labels.min()} to {labels.max()}; is n_classes right?"
        )
    return np.bincount(labels, minlength=n_classes).astype(np.int64)


def imbalance_ratio(counts) -> float:
    """Return ρ, the largest class's count over the smallest one's.

    counts: (C,). Raises ValueError where a class is empty: ρ would be
    infinite.
    """
    counts = _checked(counts)
    if counts.ndim != 1:
        raise ValueError(f"counts: expected a vector, got {counts.shape}")
    return float(counts.max() / counts.min())


def balanced_weights(counts) -> np.ndarray:
    """Return the class weights of eq. (1) of the acne paper.

    w_c = N / (C · n_c), scikit-learn's "balanced" heuristic (King & Zeng,
    Political Analysis 9, 2001). Their mean over *samples* is 1, not their
    mean over classes.

    counts: (C,) pictures a class in the training part, or (..., C) for
    several training parts. Returns float64 of the same shape. Raises
    ValueError on an empty class.
    """
    counts = _checked(counts)
    total = counts.sum(axis=-1, keepdims=True)
    return total / (counts.shape[-1] * counts)


def _checked(counts) -> np.ndarray:
    counts = np.asarray(counts)
    if counts.ndim == 0 or counts.size == 0:
        raise ValueError(
            f"counts: expected one number a class, got shape {counts.shape}"
        )
    if (counts <= 0).any():
        empty = sorted({int(c) for c in np.nonzero(counts <= 0)[-1]})
        raise ValueError(
            f"counts: class {empty} has no picture; leave the class out or "
            "take a split in which every class occurs"
        )
    return counts
