"""Which images to take: given counts, long tails, over- and undersampling.

Every function works on labels and returns indices, so that no image is
copied before it is used.
"""

import numpy as np
from imblearn.over_sampling import RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler

from helpers.imbalance.counts import class_counts, power_law_counts


def subsample(labels, counts, seed: int) -> np.ndarray:
    """Draw a given number of images of each class, without replacement.

    labels: (N,) integers in 0 … C-1; counts: (C,). Returns sorted int64
    indices. *Nested*: with the same seed, a class's smaller draw is part of
    its larger one, whatever the counts of the others (imbalanced-learn's
    undersampling is not, so it is not used here).

    Raises ValueError where a class has fewer images than asked for.
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

    Class 0 becomes the rarest, the last class the largest. largest: its
    count; default the smallest class's, so that every rho uses the same
    images as far as it can: nested in rho for one seed and one largest.
    Returns sorted int64 indices. ``imbalance_ratio`` of their class counts
    is the achieved ρ, eq. (17): rounding may make it larger than rho.

    Raises ValueError for a rho that leaves a class empty (naming the largest
    feasible one) and for counts that the data do not have.
    """
    if largest is None:
        largest = int(class_counts(labels, n_classes).min())
    counts = power_law_counts(largest, n_classes, rho)
    return subsample(labels, counts, seed)


def hold_out(
    labels, n_classes: int, per_class: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Take a balanced test set off a data set.

    per_class: images of each class in it, 300 for the mushrooms of the
    CEFL paper; 0 leaves it empty. Returns the sorted indices of the rest and
    of the test set. Raises ValueError where that leaves nothing of a class.
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

    how: "over" repeats images of every class but the largest, drawn with
    replacement, up to its count (no image is lost); "under" draws the
    smallest class's count of each, without replacement; both by
    imbalanced-learn. Only ever for a training set: oversampling before the
    split puts copies into the test set.

    labels: (N,) integers. Returns sorted int64 indices (with repeats).
    Raises ValueError for another how.
    """
    samplers = {"over": RandomOverSampler, "under": RandomUnderSampler}
    if how not in samplers:
        raise ValueError(f"how: expected over or under, got {how!r}")
    labels = np.asarray(labels)
    sampler = samplers[how](random_state=seed)
    sampler.fit_resample(np.zeros((len(labels), 1)), labels)
    return np.sort(sampler.sample_indices_).astype(np.int64)
