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
