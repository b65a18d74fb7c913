"""Which images to take, as indices: counts, long tails, resampling."""

import numpy as np
from imblearn.over_sampling import RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler

from helpers.imbalance.counts import class_counts, power_law_counts


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
