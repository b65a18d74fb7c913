"""What rounded numbers in print allow: audits of published tables.

A recall is a number of hits over a number of images. Printed with two
decimals it still rules out many numbers of images, and a number of errors
printed beside it rules out more.
"""

import numpy as np


def possible_hits(recall: float, n: int, decimals: int = 2) -> np.ndarray:
    """All numbers of hits among ``n`` images that print as ``recall``.

    A tie (0.125 with two decimals) may have been rounded either way.
    Returns a sorted int64 array; empty where no number of hits fits.
    """
    if n < 1:
        raise ValueError(f"n is a number of images, at least 1, not {n}")
    hits = np.arange(n + 1)
    half_a_unit = 0.5 * 10.0**-decimals
    return hits[np.abs(hits / n - recall) <= half_a_unit + 1e-9]


def fits_rounding(recall: float, n: int, decimals: int = 2) -> bool:
    """Can ``recall`` have been printed for a class of ``n`` images?"""
    return possible_hits(recall, n, decimals).size > 0


def possible_errors(recall: float, n: int, decimals: int = 2) -> np.ndarray:
    """All numbers of missed images, of ``n``, that fit ``recall``."""
    return n - possible_hits(recall, n, decimals)[::-1]


def sizes_that_fit(
    recall: float, errors: int, largest: int, decimals: int = 2
) -> np.ndarray:
    """Class sizes, up to ``largest``, that fit a recall and its errors.

    ``errors`` is a printed number of errors towards one other class, so the
    class has at least as many in all. Returns a sorted int64 array.
    """
    sizes = range(1, largest + 1)
    fits = [
        np.any(possible_errors(recall, n, decimals) >= errors) for n in sizes
    ]
    return np.flatnonzero(fits) + 1


def accuracy_from_recalls(recalls, counts) -> float:
    """The accuracy that recalls imply, on (C,) images of each class.

    It is the mean of the recalls weighted by the counts. Recalls rounded to
    d decimals fix it to within 0.5 · 10^-d.
    """
    recalls, counts = np.asarray(recalls, float), np.asarray(counts, float)
    if recalls.shape != counts.shape or recalls.ndim != 1:
        raise ValueError(
            "one recall and one count a class: got "
            f"{recalls.shape} recalls and {counts.shape} counts"
        )
    return float(np.average(recalls, weights=counts))
