"""Which pictures to take: given counts, long tails, over- and under-sampling.

Every function works on labels and returns indices, so that no picture is
copied before it is used.
"""

from dataclasses import dataclass

import numpy as np
from imblearn.over_sampling import RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler

from helpers.imbalance.counts import (
    class_counts,
    imbalance_ratio,
    power_law_counts,
)

SAMPLERS = {"over": RandomOverSampler, "under": RandomUnderSampler}
"""The samplers of ``resample``, from imbalanced-learn."""


@dataclass(frozen=True, eq=False, repr=False)
class LongTail:
    """A long-tailed part of a data set.

    indices: sorted int64; counts: (C,) int64; rho: the ratio asked for.
    """

    indices: np.ndarray
    counts: np.ndarray
    rho: float

    @property
    def achieved_rho(self) -> float:
        """Eq. (17) of the CEFL paper, of the counts as rounded."""
        return imbalance_ratio(self.counts)

    def __repr__(self) -> str:
        return (
            f"LongTail(ρ {self.rho:g} asked, {self.achieved_rho:.4g} achieved:"
            f" {', '.join(map(str, self.counts))} pictures a class)"
        )


def subsample(labels, counts, seed: int) -> np.ndarray:
    """Draw a given number of pictures of each class, without replacement.

    labels: (N,) integers in 0 … C-1; counts: (C,). Returns sorted int64
    indices. *Nested*: with the same seed, a class's smaller draw is part of
    its larger one, whatever the counts of the others.

    Raises ValueError where a class has fewer pictures than asked for.
    """
    labels, counts = np.asarray(labels), np.asarray(counts)
    available = class_counts(labels, len(counts))
    for c in np.flatnonzero(counts > available):
        raise ValueError(
            f"counts: {counts[c]} of class {c} asked, it has {available[c]}; "
            "take a smaller largest class, or a larger ρ"
        )
    # A generator for each class: no draw depends on another class's count.
    drawn = [
        np.random.default_rng([seed, c]).permutation(
            np.flatnonzero(labels == c)
        )[:n]
        for c, n in enumerate(counts)
    ]
    return np.sort(np.concatenate(drawn))


def long_tail(
    labels, n_classes: int, rho: float, seed: int, largest: int | None = None
) -> LongTail:
    """Subsample by the power law, eq. (18) and (19) of the CEFL paper.

    Class 0 becomes the rarest, the last class the largest. largest: its
    count; default the smallest class's, so that every rho uses the same
    pictures as far as it can: nested in rho for one seed and one largest.

    Raises ValueError for a rho that leaves a class empty (naming the largest
    feasible one) and for counts that the data do not have.
    """
    if largest is None:
        largest = int(class_counts(labels, n_classes).min())
    counts = power_law_counts(largest, n_classes, rho)
    return LongTail(subsample(labels, counts, seed), counts, rho)


def hold_out(
    labels, n_classes: int, per_class: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Take a balanced test part off a data set.

    per_class: pictures of each class in it, 300 for the mushrooms of the
    CEFL paper. Returns the sorted indices of the rest and of the test part.
    Raises ValueError where that leaves nothing of a class.
    """
    available = class_counts(labels, n_classes)
    if not 0 < per_class < available.min():
        c = int(available.argmin())
        raise ValueError(
            f"per_class: {per_class} of {available[c]} pictures of class {c}; "
            f"expected 1 to {available[c] - 1}"
        )
    test = subsample(labels, np.full(n_classes, per_class), seed)
    return np.setdiff1d(np.arange(len(labels)), test), test


def resample(labels, how: str, seed: int) -> np.ndarray:
    """Make all classes equally large by repeating or leaving out pictures.

    how: "over" repeats pictures of every class but the largest, drawn with
    replacement, up to its count (no picture is lost); "under" draws the
    smallest class's count of each, without replacement. Only ever for a
    training part: over-sampling before the split puts copies into the test.

    labels: (N,) integers. Returns sorted int64 indices (with repeats).
    Raises ValueError for another how.
    """
    if how not in SAMPLERS:
        raise ValueError(f"how: expected over or under, got {how!r}")
    labels = np.asarray(labels)
    sampler = SAMPLERS[how](random_state=seed)
    sampler.fit_resample(np.zeros((len(labels), 1)), labels)
    return np.sort(sampler.sample_indices_).astype(np.int64)
