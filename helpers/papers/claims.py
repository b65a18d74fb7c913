"""Claims decided by the interval of a number; what rounded numbers allow.

A claim's number is above zero if the claim holds. Which number that is
stands in ``data/published``, written down before anything was trained.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from helpers.paths import PUBLISHED_DIR

VALUES = ["number", "low", "high"]


def read_claims(name: str) -> pd.DataFrame:
    """The claims of ``data/published/NAME.csv``, in our words, by their key.

    Columns of ``severity_claims``: what it says; its number; interval over
    (what is resampled, "exact" for a count); needs (without what it cannot be
    decided, or ""). Of ``audit_claims``, which printed numbers decide: paper;
    what it says; where; what would have to be true.
    """
    path = PUBLISHED_DIR / f"{name}.csv"
    return pd.read_csv(path, keep_default_na=False, index_col="claim")


def decided(
    claims: pd.DataFrame, numbers: Mapping[str, Sequence[float]]
) -> pd.DataFrame:
    """The verdicts of the claims that have a number, a row a claim.

    *Supported here* where the whole interval is above zero, *not supported
    here* everywhere else: an interval across zero is no support, and one
    below zero speaks against. *Cannot tell* where the number is missing for
    lack of what the claim needs. ``claims`` come from `read_claims`,
    ``numbers`` are value, low and high, first of what there may be, by
    claim; NaN for what could not be measured. Raises ``ValueError`` for a
    number of no claim.
    """
    if unknown := [key for key in numbers if key not in claims.index]:
        raise ValueError(f"numbers: {unknown} are none of {[*claims.index]}")
    table = claims[claims.index.isin(list(numbers))]
    rows = [[*numbers[key]][:3] for key in table.index]
    table = table.join(pd.DataFrame(rows, table.index, VALUES, dtype=float))
    above = (table[["low", "high"]] > 0).all(axis=1)
    table["verdict"] = np.where(above, "supported here", "not supported here")
    missing = table["number"].isna() & (table["needs"] != "")
    table.loc[missing, "verdict"] = "cannot tell without " + table["needs"]
    return table[[*claims.columns[:2], *VALUES, "interval over", "verdict"]]


def readable_verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """What `decided` returns, each number and its interval as one text."""
    numbers = [
        "–" if np.isnan(value) else f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
        for value, low, high in table[VALUES].to_numpy()
    ]
    short = table.drop(columns=VALUES)
    short.insert(2, "number [95 % interval]", numbers)
    return short


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
