"""Claims of a source, and what rounded numbers allow."""

import numpy as np
import pandas as pd

from helpers.paths import PUBLISHED_DIR


def read_claims(name: str) -> pd.DataFrame:
    """The claims of ``data/published/NAME.csv``, in our words, by their key.

    Columns of ``severity_claims``: part (of the source); what it says; its
    number, above zero if the claim holds. Of ``audit_claims``, which printed
    numbers decide: paper; what it says; where; what would have to be true.
    """
    path = PUBLISHED_DIR / f"{name}.csv"
    return pd.read_csv(path, keep_default_na=False, index_col="claim")


def possible_hits(recall: float, n: int, decimals: int = 2) -> np.ndarray:
    """All numbers of hits among ``n`` images that print as ``recall``.

    A tie (0.125 with two decimals) may have been rounded either way. Sorted;
    empty where no number of hits fits: 0.70 of 103 images are 72 hits.
    """
    if n < 1:
        raise ValueError(f"n is a number of images, at least 1, not {n}")
    hits = np.arange(n + 1)
    half_a_unit = 0.5 * 10.0**-decimals
    return hits[np.abs(hits / n - recall) <= half_a_unit + 1e-9]


def fits_rounding(recall: float, n: int, decimals: int = 2) -> bool:
    """Can ``recall`` have been printed for a class of ``n`` images?"""
    return possible_hits(recall, n, decimals).size > 0
