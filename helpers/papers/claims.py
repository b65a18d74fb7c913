"""Claims with a number each, and the verdict that its interval gives.

A claim's number is above zero if the claim holds.  Which number that is
stands in ``data/published``, written down before anything was trained.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from helpers.paths import PUBLISHED_DIR


def read_claims(name: str) -> pd.DataFrame:
    """The claims of ``data/published/NAME.csv``, in our words, by their key.

    Columns: what it says; its number; interval over (what is resampled,
    "exact" for a count); needs (without what it cannot be decided, or "").
    """
    path = PUBLISHED_DIR / f"{name}.csv"
    return pd.read_csv(path, keep_default_na=False, index_col="claim")


def decided(
    claims: pd.DataFrame, numbers: Mapping[str, Sequence[float]]
) -> pd.DataFrame:
    """The verdicts of the claims that have a number.

    *Supported here* where the whole interval is above zero, *not supported
    here* everywhere else: an interval across zero is no support, and one
    below zero speaks against.  *Cannot tell* where the number is missing for
    lack of what the claim needs.

    Parameters
    ----------
    claims : see `read_claims`
    numbers : value, low and high, first of what there may be, by claim; NaN
        for what could not be measured

    Returns
    -------
    A row a claim, in the order of ``claims``: what it says, its number,
    number, low, high, interval over, verdict.

    Raises
    ------
    ValueError
        For a number of no claim.
    """
    unknown = [key for key in numbers if key not in claims.index]
    if unknown:
        raise ValueError(f"numbers: {unknown} are none of {[*claims.index]}")
    table = claims[claims.index.isin(list(numbers))]
    found = [[*numbers[key]][:3] for key in table.index]
    values = ["number", "low", "high"]
    table = table.join(pd.DataFrame(found, table.index, values, dtype=float))
    above = (table[["low", "high"]] > 0).all(axis=1)
    missing = table["number"].isna() & (table["needs"] != "")
    verdict = np.where(above, "supported here", "not supported here")
    verdict = np.where(
        missing, "cannot tell without " + table["needs"], verdict
    )
    table = table.assign(verdict=verdict)
    return table[[*claims.columns[:2], *values, "interval over", "verdict"]]


def readable_verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """What `decided` returns, each number and its interval as one text."""
    values = ["number", "low", "high"]
    numbers = [
        "–" if np.isnan(value) else f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
        for value, low, high in table[values].to_numpy()
    ]
    short = table.drop(columns=values)
    short.insert(2, "number [95 % interval]", numbers)
    return short
