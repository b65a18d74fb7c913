"""Result tables: tidy rows, saved files, and what a notebook shows."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.paths import atomic_write
from helpers.session import Workspace

COLUMNS = (
    *("experiment", "dataset", "split", "method", "hyperparameters", "seed"),
    *("metric", "class", "value", "profile", "versions", "seconds"),
)


def tidy(
    rows: pd.DataFrame | Iterable[Mapping[str, object]],
    workspace: Workspace,
    **constants: object,
) -> pd.DataFrame:
    """Bring measured values into one form, a row a value.

    ``rows`` (a table or dictionaries) and ``constants`` (columns with one
    value for all rows) together give the columns in ``COLUMNS``; profile
    and versions come from the workspace. May be left out: ``class`` ("" =
    over all classes), ``hyperparameters`` (a dictionary, kept as JSON) and
    ``seconds`` (NaN = not timed).

    Raises ``ValueError`` for a column that is unknown, given twice or
    missing, and for a row without a seed or a value.
    """
    table = pd.DataFrame(rows)
    if twice := sorted(set(table.columns) & set(constants)):
        raise ValueError(f"columns {twice} are given twice")
    constants["profile"] = workspace.profile
    constants["versions"] = json.dumps(workspace.versions, sort_keys=True)
    defaults = {"class": "", "hyperparameters": "{}", "seconds": np.nan}
    for column, value in {**defaults, **constants}.items():
        if column in constants or column not in table:
            table[column] = [value] * len(table)
    table["class"] = table["class"].fillna("")
    table["hyperparameters"] = [
        h if isinstance(h, str) else json.dumps(h, sort_keys=True)
        for h in table["hyperparameters"]
    ]
    if unknown := sorted(set(table.columns) - set(COLUMNS)):
        raise ValueError(f"unknown columns {unknown}; there are {COLUMNS}")
    if missing := [c for c in COLUMNS if c not in table]:
        raise ValueError(f"columns {missing} are missing")
    empty = table[["seed", "value"]].isna().any()
    if empty.any():
        raise ValueError(f"{list(empty.index[empty])} lacks some values")
    return table[list(COLUMNS)].reset_index(drop=True)


def save(table: pd.DataFrame, workspace: Workspace, name: str) -> Path:
    """Write a table to the run's ``results/NAME.csv`` and return the path.

    The file appears whole. A named index becomes columns. Raises
    ``ValueError`` for an unnamed index other than 0, 1, 2 …, whose content
    would be lost.
    """
    if any(level is not None for level in table.index.names):
        table = table.reset_index()
    elif not table.index.equals(pd.RangeIndex(len(table))):
        raise ValueError(
            f"{name}: name the table's index to keep it as a column, or"
            " drop it with reset_index(drop=True)"
        )
    path = workspace.results / f"{name}.csv"
    return atomic_write(path, table.to_csv(index=False))


def show(table: pd.DataFrame, decimals: int = 3) -> pd.DataFrame:
    """A table for a notebook: rounded, without row numbers."""
    return table.round(decimals).set_axis([""] * len(table))


def readable(comparison: pd.DataFrame, decimals: int = 3) -> pd.DataFrame:
    """A comparison as strings, the way a paper would print it.

    Takes what `compare` returns; columns it does not know stay in front.
    """
    numbers = ["table", "published", "mean", "std", "n", "delta", "low"]
    front = comparison.columns.difference(
        [*numbers, "high", "status"], sort=False
    )
    text = comparison[front].astype(str)
    rows = comparison.to_dict("records")
    text["published (table)"] = [
        f"{_as_printed(float(row['published']))} ({row['table']})"
        for row in rows
    ]
    text["measured"] = [_mean_std_n(row, decimals) for row in rows]
    text["Δ"] = [
        f"{float(row['delta']):+.{decimals}f}" if int(row["n"]) else "–"
        for row in rows
    ]
    text["status"] = comparison["status"]
    return text


def _as_printed(value: float) -> str:
    if value.is_integer():
        return f"{value:.0f}"
    return np.format_float_positional(value, min_digits=2)


def _mean_std_n(row: Mapping[str, object], decimals: int) -> str:
    n = int(row["n"])
    if n == 0:
        return "–"
    spread = f" ± {float(row['std']):.{decimals}f}" if n > 1 else ""
    return f"{float(row['mean']):.{decimals}f}{spread} (n = {n})"
