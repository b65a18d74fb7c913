"""How imbalanced a data set is, class weights, and which images to take.

What takes images returns their indices, so that none is copied.
"""

import numpy as np
from imblearn.over_sampling import RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler


def class_counts(labels, n_classes: int) -> np.ndarray:
    """Count the images of each class.

    labels: (N,) integers in 0 … n_classes-1. Returns (C,) int64. Raises
    ValueError for any other label.
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
    """Return ρ, the largest of the (C,) counts over the smallest.

    Raises ValueError where a class is empty: ρ would be infinite.
    """
    counts = _checked(counts)
    return float(counts.max() / counts.min())


def balanced_weights(counts) -> np.ndarray:
    """Return the class weights of eq. (1) of the acne paper.

    w_c = N / (C · n_c), scikit-learn's "balanced" heuristic. Their mean over
    *samples* is 1, not their mean over classes. Worked: counts (8, 2, 2) have
    weights 0.5, 2, 2.

    counts: (C,) images of each class in the training set, or (..., C) for
    several training sets. Returns float64 of the same shape. Raises
    ValueError on an empty class.
    """
    counts = _checked(counts)
    total = counts.sum(axis=-1, keepdims=True)
    return total / (counts.shape[-1] * counts)


def effective_number_weights(counts, beta: float) -> np.ndarray:
    """Return the class-balanced weights of the effective number of samples.

    w_c ∝ (1 − β) / (1 − β^n_c), scaled to *sum to C over classes*. β = 0
    weighs all classes alike; β → 1 approaches 1 / n_c. Y. Cui et al.,
    *Class-Balanced Loss Based on Effective Number of Samples*,
    arXiv:1901.05555, proposition 1 and section 4. Worked: counts (1, 2) at
    β = 0.5 have effective numbers 1 and 1.5, weights 1.2 and 0.8.

    counts: as for ``balanced_weights``; beta: in [0, 1). Raises ValueError
    on another beta or an empty class.
    """
    if not 0 <= beta < 1:
        raise ValueError(f"beta: expected 0 ≤ β < 1, got {beta}")
    counts = _checked(counts)
    weights = (1 - beta) / (1 - np.power(float(beta), counts))
    total = weights.sum(axis=-1, keepdims=True)
    return weights * counts.shape[-1] / total


def power_law_counts(largest: int, n_classes: int, rho: float) -> np.ndarray:
    """Return the long-tailed counts of eq. (18) and (19) of the CEFL paper.

    N_i = ⌊L · ρ^(i / (C − 1) − 1)⌋ for i = 0 … C − 1: class 0 is the rarest,
    class C − 1 keeps all L. The paper gives no rounding; rounding *down*
    gives its worked example, L = 5000, C = 10, ρ = 10: 500, 645, 834, 1077,
    1391, 1796, 2320, 2997, 3871, 5000. It may make the ratio of the result
    larger than rho.

    Returns (C,) int64, which never grows with rho. Raises ValueError for a
    rho below 1 or above L, at which class 0 would be empty.
    """
    if not rho >= 1:
        raise ValueError(f"rho: expected 1 or more, got {rho}")
    if rho > largest:
        raise ValueError(
            f"rho: {rho:g} would leave class 0 empty; with {largest} images "
            f"in the largest class the largest feasible ρ is {largest}"
        )
    exponents = np.arange(n_classes) / (n_classes - 1) - 1
    counts = largest * np.power(float(rho), exponents)
    # 49 · 49^-1 is 0.9999999999999999 in float64.
    return np.floor(counts + 1e-9).astype(np.int64)


def scaled_counts(counts, available) -> np.ndarray:
    """Scale a paper's training counts down to the images available.

    All counts shrink by one factor, the largest one, up to 1, at which no
    class asks for more than it has; each is rounded to the nearest integer
    and is two at least. Worked: counts 100, 50, 10 with 20 images of each
    class become 20, 10, 2.

    counts, available: (C,) images of each class, asked for and available.
    Returns (C,) int64. Raises ValueError on an empty class in counts.
    """
    counts = _checked(counts)
    factor = min(1, (available / counts).min())
    return np.maximum(np.rint(counts * factor), 2).astype(np.int64)


def head_medium_tail(counts) -> np.ndarray:
    """Divide the classes into thirds by their training counts.

    Returns (C,) str, "head", "medium" or "tail": the ⌊C/3⌋ largest classes,
    the rest, the ⌊C/3⌋ smallest; of equal counts the class with the higher
    index is the larger. The fixed limits of Liu et al. (arXiv:1904.05160:
    more than 100 images, 20 to 100, fewer) leave groups empty on small sets.
    Raises ValueError for fewer than three classes, an empty one, or where
    all are equally large.
    """
    counts = _checked(counts)
    third = len(counts) // 3
    if third == 0 or counts.min() == counts.max():
        raise ValueError(
            "counts: expected three classes or more, not all equally large, "
            f"got {counts.tolist()}"
        )
    order = np.argsort(counts, kind="stable")
    groups = np.full(len(counts), "medium")
    groups[order[:third]] = "tail"
    groups[order[-third:]] = "head"
    return groups


def subsample(labels, counts, seed: int) -> np.ndarray:
    """Draw a given number of images of each class, without replacement.

    labels: (N,) integers in 0 … C-1; counts: (C,). Returns sorted int64
    indices. *Nested*, which imbalanced-learn's undersampling is not: with the
    same seed, a class's smaller draw is part of its larger one, whatever the
    counts of the others. Raises ValueError where a class has fewer images
    than asked for.
    """
    labels, counts = np.asarray(labels), np.asarray(counts)
    available = class_counts(labels, len(counts))
    for c in np.flatnonzero(counts > available):
        raise ValueError(
            f"counts: {counts[c]} of class {c} asked, it has {available[c]}; "
            "take a smaller largest class, or a larger ρ"
        )
    # A generator for each class: no draw depends on another class's count.
    taken = [
        np.random.default_rng([seed, c]).permutation(
            np.flatnonzero(labels == c)
        )[:n]
        for c, n in enumerate(counts)
    ]
    return np.sort(np.concatenate(taken))


def long_tail(
    labels, n_classes: int, rho: float, seed: int, largest: int | None = None
) -> np.ndarray:
    """Subsample by the power law, eq. (18) and (19) of the CEFL paper.

    largest: count of the last class; default the smallest class's, so that
    every rho can use the same images. Returns sorted int64 indices, nested in
    rho for one seed and one largest. Raises ValueError as `power_law_counts`
    and `subsample` do.
    """
    if largest is None:
        largest = int(class_counts(labels, n_classes).min())
    counts = power_law_counts(largest, n_classes, rho)
    return subsample(labels, counts, seed)


def hold_out(
    labels, n_classes: int, per_class: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Take a balanced test set off a data set.

    Returns the sorted indices of the rest and of the test set, which has
    per_class images of each class; 0 leaves it empty. Raises ValueError where
    nothing of a class would be left.
    """
    available = class_counts(labels, n_classes)
    if not 0 <= per_class < available.min():
        c = int(available.argmin())
        raise ValueError(
            f"per_class: {per_class} of {available[c]} images of class {c}; "
            f"expected 0 to {available[c] - 1}"
        )
    test = subsample(labels, np.full(n_classes, per_class), seed)
    return np.setdiff1d(np.arange(len(labels)), test), test


def resample(labels, how: str, seed: int) -> np.ndarray:
    """Make all classes equally large by repeating or leaving out images.

    how: "over" repeats images of every class but the largest, at random, up
    to its count; "under" takes the smallest class's count of each at random;
    both by imbalanced-learn. Only ever for a training set: oversampling
    before the split puts copies into the test set. Returns sorted int64
    indices (with repeats). Raises ValueError for another how.
    """
    samplers = {"over": RandomOverSampler, "under": RandomUnderSampler}
    if how not in samplers:
        raise ValueError(f"how: expected over or under, got {how!r}")
    labels = np.asarray(labels)
    sampler = samplers[how](random_state=seed)
    sampler.fit_resample(np.zeros((len(labels), 1)), labels)
    return np.sort(sampler.sample_indices_).astype(np.int64)


def _checked(counts) -> np.ndarray:
    counts = np.asarray(counts)
    if (counts <= 0).any():
        empty = sorted({int(c) for c in np.nonzero(counts <= 0)[-1]})
        raise ValueError(
            f"counts: class {empty} has no image; leave the class out or "
            "take a split in which every class occurs"
        )
    return counts
