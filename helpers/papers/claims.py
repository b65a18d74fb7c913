"""Claims of a source; what intervals and rounded numbers allow to say."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from helpers.evaluation import t_interval
from helpers.methods import METHODS
from helpers.paths import MEASURED_DIR, PUBLISHED_DIR


def read_claims(name: str) -> pd.DataFrame:
    """The claims of ``data/published/NAME.csv``, in our words, by their key.

    Columns of ``severity_claims``: part (of the source); what it says; its
    number, above zero if the claim holds; on which images. Of
    ``audit_claims``, which printed numbers decide: paper; what it says; where;
    what would have to be true; found and verdict, "" where notebook 11 works
    them out. Of ``measured_claims``: paper; what it says;
    where; its number; on which images; notebook; and what `measured_claims`
    reads.
    """
    path = PUBLISHED_DIR / f"{name}.csv"
    return pd.read_csv(path, keep_default_na=False, index_col="claim")


def measured_claims() -> pd.DataFrame:
    """The claims of the papers that `data/measured` decides.

    To the columns of ``measured_claims.csv`` come number, low and high, and a
    verdict (see `verdict`). Of several rows that a claim is about, such as
    one a ratio, the least number and the least ends count, so that all of
    them have to be above zero. Where a table has scores of seeds, ``pair``
    names the methods whose difference it is, with a t interval over the
    seeds. ``sign`` -1 turns a difference round. Where a table says in how
    many seeds a difference is above zero, so does ``on``.

    Raises ``ValueError`` for a claim whose row is not in the table.
    """
    table = read_claims("measured_claims")
    found = [_measured(*row) for row in table[_WHERE].itertuples()]
    found = pd.DataFrame(
        found, table.index, ["number", "low", "high", "seeds"]
    )
    table["on"] += found.pop("seeds")
    ends = zip(found["low"], found["high"], strict=True)
    found["verdict"] = [verdict(low, high) for low, high in ends]
    return table.drop(columns=_WHERE).join(found)


_WHERE = ["table", "row", "pair", "sign"]


def _measured(claim, table, row, pair, sign) -> tuple:
    """Number, low, high, and how many seeds agree, where a table says so."""
    measured = pd.read_csv(MEASURED_DIR / f"{table}.csv")
    measured = measured.query(row, engine="python")
    if measured.empty:
        raise ValueError(f"{claim}: {table}.csv has no row with {row}")
    if pair:
        first, second = pair.split()
        seeds = measured.pivot(index="seed", columns="method", values="value")
        return *t_interval(seeds[first] - seeds[second])[:3], ""
    measured = measured.rename(columns={"gain": "delta"})
    ends = int(sign) * measured[["delta", "low", "high"]]
    low, number, high = np.sort(ends.min())
    seeds = ""
    if "above" in measured:
        up, down = measured[["above", "below"]].iloc[0]
        seeds = f", above zero in {up} of {up + down} seeds"
    return number, low, high, seeds


def verdict(low: float, high: float) -> str:
    """*Supported* if all of an interval is above zero, *contradicted* if none.

    Else *open*.
    """
    if low > 0:
        return "supported"
    return "contradicted" if high <= 0 else "open"


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


def in_words(
    table: pd.DataFrame,
    metric: str,
    labels: Mapping[str, str] | None = None,
) -> list[str]:
    """Say in words what differences and their intervals allow to conclude.

    Parameters
    ----------
    table : rows of `helpers.evaluation.differences`: method, reference,
        delta, low and high; a column ``class`` or ``split``
        is named where the table has one
    metric : what was measured, such as "macro-F1"
    labels : a name for each method; default, the registry's, else its key

    Returns
    -------
    A sentence a row. An interval that holds zero allows none of the two
    directions; a NaN end says that no interval can be given.

    >>> row = {"method": "B", "reference": "A", "delta": -0.006}
    >>> in_words(pd.DataFrame([row | {"low": -0.035, "high": 0.029}]), "F1")
    ['B − A = −0.006 [−0.035, +0.029] F1: no difference can be told.']
    """
    sentences = []
    for row in table.to_dict("records"):
        names = [_label(row[k], labels) for k in ("method", "reference")]
        where = [str(row[k]) for k in ("split", "class") if k in row]
        gap = " − ".join(names) + "".join(f", {place}" for place in where)
        ends = row["low"], row["high"]
        number = interval(row["delta"], *ends)
        if np.isnan(ends).any():
            number = signed(row["delta"])
            verdict = "too few groups for an interval"
        elif ends[0] > 0:
            verdict = "higher"
        elif ends[1] < 0:
            verdict = "lower"
        else:
            verdict = "no difference can be told"
        sentences.append(f"{gap} = {number} {metric}: {verdict}.")
    return sentences


def interval(value: float, low: float, high: float, decimals: int = 3) -> str:
    """A number and its interval: "−0.006 [−0.035, +0.029]".

    Behind a number without one (a NaN end) stands "[no interval]".
    """
    ends = f"{signed(low, decimals)}, {signed(high, decimals)}"
    known = not np.isnan([low, high]).any()
    return f"{signed(value, decimals)} [{ends if known else 'no interval'}]"


def signed(value: float, decimals: int = 3) -> str:
    """A number with its sign, and a true minus: "−0.006"."""
    return f"{value:+.{decimals}f}".replace("-", "−")


def _label(method: str, labels) -> str:
    if labels and method in labels:
        return labels[method]
    return METHODS[method].label if method in METHODS else str(method)
