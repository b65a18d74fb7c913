"""A sentence from an interval."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from helpers.methods import METHODS


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
        between = f"[{signed(ends[0])}, {signed(ends[1])}]"
        if np.isnan(ends).any():
            between, verdict = "", "too few groups for an interval"
        elif ends[0] > 0:
            verdict = "higher"
        elif ends[1] < 0:
            verdict = "lower"
        else:
            verdict = "no difference can be told"
        said = f"{gap} = {signed(row['delta'])} {between}".rstrip()
        sentences.append(f"{said} {metric}: {verdict}.")
    return sentences


def signed(value: float, decimals: int = 3) -> str:
    """A number with its sign, and a true minus: "−0.006"."""
    return f"{value:+.{decimals}f}".replace("-", "−")


def _label(method: str, labels) -> str:
    if labels and method in labels:
        return labels[method]
    return METHODS[method].label if method in METHODS else str(method)
