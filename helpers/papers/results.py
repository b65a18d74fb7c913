"""Result tables: tidy rows, published numbers, and the two side by side."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.evaluation.metrics import prediction_interval
from helpers.paths import PUBLISHED_DIR, atomic_write
from helpers.session import Workspace

COLUMNS = (
    "experiment",
    "dataset",
    "split",
    "method",
    "hyperparameters",
    "seed",
    "metric",
    "class",
    "value",
    "profile",
    "versions",
    "seconds",
)
KEYS = ("method", "class", "metric")
MIN_SEEDS = 5

OWN_FOLDER = "an image folder"
"""The origin that is recorded for a reader's own images."""


def tidy(
    rows: pd.DataFrame | Iterable[Mapping[str, object]],
    workspace: Workspace,
    **constants: object,
) -> pd.DataFrame:
    """Bring measured values into the book's one form, a row a value.

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
    table = table.assign(**{k: [v] * len(table) for k, v in constants.items()})
    fixed = {
        "profile": workspace.profile,
        "versions": json.dumps(workspace.versions, sort_keys=True),
    }
    table = table.assign(**fixed)
    for column, default in {
        "class": "",
        "hyperparameters": "{}",
        "seconds": np.nan,
    }.items():
        if column not in table:
            table[column] = default
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


def published(name: str) -> pd.DataFrame:
    """Numbers printed in a paper, from ``data/published/NAME.csv``.

    Every column is text as printed ("" where a row has none), but for value:
    source, table, method, class ("" = over all), metric, and what else tells
    the rows of that paper apart. A row whose value cannot be read in the
    paper is left out. Raises ``FileNotFoundError`` naming the tables there
    are.
    """
    path = PUBLISHED_DIR / f"{name}.csv"
    if not path.is_file():
        there = sorted(p.stem for p in PUBLISHED_DIR.glob("*.csv"))
        raise FileNotFoundError(
            f"no published table {name!r}; there are {', '.join(there)}"
        )
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table["value"] = pd.to_numeric(table["value"])
    return table.dropna(subset="value", ignore_index=True)


def compare(
    published: pd.DataFrame,
    measured: pd.DataFrame,
    comparable: bool,
    keys: Sequence[str] = KEYS,
) -> pd.DataFrame:
    """Set each published number beside the same one measured over seeds.

    ``published`` has the columns ``keys``, table and value; ``measured``
    (tidy rows) has ``keys``, seed and value, one row a seed. ``comparable``
    is False where data, image size or network differ from the paper's.

    Returns one row a published number: ``keys``, table, published, mean,
    std (n - 1), n, delta = mean - published, low and high (the 95 %
    prediction interval of one more run, mean ± t·s·√(1 + 1/n)), status.
    A status is

    - *not measured*: there is no such measured value;
    - *not comparable*: ``comparable`` is False;
    - *too few seeds*: n < 5;
    - *within* / *outside*: the published single run lies in the interval,
      or does not.

    Raises ``ValueError`` where a seed has two values for one key.
    """
    keys = list(keys)
    # An empty class comes back from a CSV file as NaN.
    measured = measured.fillna(dict.fromkeys(keys, ""))
    repeated = measured.duplicated([*keys, "seed"])
    if repeated.any():
        first = measured.loc[repeated, [*keys, "seed"]].iloc[0].to_dict()
        raise ValueError(
            f"two measured values for {first}; pass one split and one"
            " setting at a time, or add their column to keys"
        )
    values = {
        key: group["value"].to_numpy(float)
        for key, group in measured.groupby(keys, sort=False)
    }
    rows = []
    for row in published.to_dict("records"):
        key = tuple(row[name] for name in keys)
        found = values.get(key, np.array([]))
        rows.append(
            dict(zip(keys, key, strict=True))
            | {"table": row["table"], "published": float(row["value"])}
            | _beside(float(row["value"]), found, comparable)
        )
    return pd.DataFrame(rows)


def _beside(
    number: float, values: np.ndarray, comparable: bool
) -> dict[str, object]:
    n = len(values)
    mean = values.mean() if n else np.nan
    std = values.std(ddof=1) if n > 1 else np.nan
    low, high = prediction_interval(values) if n > 1 else (np.nan, np.nan)
    if n == 0:
        status = "not measured"
    elif not comparable:
        status = "not comparable"
    elif n < MIN_SEEDS:
        status = "too few seeds"
    else:
        status = "within" if low <= number <= high else "outside"
    return {
        "mean": mean,
        "std": std,
        "n": n,
        "delta": mean - number,
        "low": low,
        "high": high,
        "status": status,
    }


def readable(comparison: pd.DataFrame, decimals: int = 3) -> pd.DataFrame:
    """A comparison as strings, the way a paper would print it.

    Takes what ``compare`` returns; columns it does not know stay in front.
    """
    numbers = ["table", "published", "mean", "std", "n", "delta", "low"]
    front = [
        c for c in comparison.columns if c not in (*numbers, "high", "status")
    ]
    text = comparison[front].astype(str)
    rows = comparison.to_dict("records")
    text["published (table)"] = [
        f"{_as_printed(float(r['published']))} ({r['table']})" for r in rows
    ]
    text["measured"] = [_mean_std_n(r, decimals) for r in rows]
    text["Δ"] = [
        f"{float(r['delta']):+.{decimals}f}" if int(r["n"]) else "–"
        for r in rows
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
    if n == 1:
        return f"{float(row['mean']):.{decimals}f} (n = 1)"
    mean, std = float(row["mean"]), float(row["std"])
    return f"{mean:.{decimals}f} ± {std:.{decimals}f} (n = {n})"


def overview(folder: Path, number: str, rows: int = 16) -> str:
    """A notebook's comparison with a paper as text for a terminal.

    Parameters
    ----------
    folder : a run's folder of result tables
    number : of the notebook, "03"
    rows : how many are shown at most

    Returns
    -------
    str
        Which data and network were used, and the scores over all classes
        and each class's F1 that were measured. "" where there is no
        comparison, where it has no measured row, and for a reader's own
        images, to which no printed number belongs.
    """
    path = folder / f"{number}_comparison.csv"
    if not path.is_file():
        return ""
    table = pd.read_csv(path, keep_default_na=False)
    table = table[table["status"] != "not measured"]
    facts = _facts_of(folder, number)
    own = facts.get("origin") == OWN_FOLDER
    if table.empty or own and (table["status"] == "not comparable").all():
        return ""
    chosen = table[(table["class"] == "") | (table["metric"] == "f1")]
    text = readable(chosen.head(rows)).replace({"class": {"": "all"}})
    known = ("name", "backbone", "network", "weights")
    used = ", ".join(facts[key] for key in known if key in facts)
    lines = [f"Paper vs measured, {path.name} ({used}):", ""]
    lines.append(text.to_string(index=False))
    if more := len(table) - len(text):
        lines.append(f"and {more} more rows in {path.name}")
    return "\n".join(lines)


def _facts_of(folder: Path, number: str) -> dict[str, str]:
    """What a notebook's provenance says of its data and its network."""
    facts: dict[str, str] = {}
    for path in sorted(folder.glob(f"{number}_*provenance.csv")):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        facts |= dict(zip(table.iloc[:, 0], table.iloc[:, 1], strict=True))
    return facts


def show(table: pd.DataFrame, decimals: int = 3) -> pd.DataFrame:
    """A table for a notebook: rounded, without row numbers."""
    return table.round(decimals).set_axis([""] * len(table))
