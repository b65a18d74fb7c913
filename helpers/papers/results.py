"""Result tables: tidy, saved, and with the papers' numbers beside them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.evaluation import half_width
from helpers.paths import PUBLISHED_DIR, atomic_write
from helpers.session import Workspace

COLUMNS = (
    *("experiment", "dataset", "split", "method", "hyperparameters", "seed"),
    *("metric", "class", "value", "profile", "versions", "seconds"),
)
KEYS = ("method", "class", "metric")
MIN_SEEDS = 5


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
    if wrong := sorted(set(table.columns) ^ set(COLUMNS)):
        raise ValueError(f"columns {wrong} are missing or unknown: {COLUMNS}")
    empty = table[["seed", "value"]].isna().any()
    if empty.any():
        raise ValueError(f"{list(empty.index[empty])} lacks some values")
    return table[list(COLUMNS)].reset_index(drop=True)


def save(table: pd.DataFrame, workspace: Workspace, name: str) -> Path:
    """Write a table, whole, to the run's ``results/NAME.csv``: its path.

    A named index becomes columns. Raises ``ValueError`` for an unnamed index
    other than 0, 1, 2 …, whose content would be lost.
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


def show(table: pd.DataFrame) -> pd.DataFrame:
    """A table for a notebook: rounded, without row numbers."""
    return table.round(3).set_axis([""] * len(table))


def published(name: str) -> pd.DataFrame:
    """Numbers printed in a paper, from ``data/published/NAME.csv``.

    Every column is text as printed ("" where a row has none), but for value:
    source, table, method, class ("" = over all), metric, and what else tells
    the rows of that paper apart. A row whose value cannot be read in the
    paper is left out.
    """
    path = PUBLISHED_DIR / f"{name}.csv"
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
    prediction interval of one more run, mean ± t·s·√(1 + 1/n)), and status:
    *not measured*, *not comparable*, *too few seeds* (n < 5), *within* or
    *outside* (the published single run lies in the interval, or does not).

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
    seeds = measured.astype({"value": float}).groupby(keys)["value"]
    seeds = seeds.agg(["mean", "std", "count", half_width])
    table = published[[*keys, "table", "value"]].reset_index(drop=True)
    table = table.rename(columns={"value": "published"}).join(seeds, on=keys)
    table = table.rename(columns={"count": "n"})
    n = table["n"] = table["n"].fillna(0).astype(int)
    mean, half = table["mean"], table.pop("half_width") * np.sqrt(n + 1)
    delta = table["delta"] = mean - table["published"]
    table["low"], table["high"] = mean - half, mean + half
    table["status"] = np.select(
        [n == 0, np.full(len(n), not comparable), n < MIN_SEEDS],
        ["not measured", "not comparable", "too few seeds"],
        np.where(delta.abs() <= half, "within", "outside"),
    )
    return table


def readable(comparison: pd.DataFrame) -> pd.DataFrame:
    """A comparison as strings, the way a paper would print it.

    Takes what `compare` returns; columns it does not know stay in front.
    """
    numbers = ["published", "mean", "std", "n", "delta"]
    hidden = [*numbers, "table", "low", "high", "status"]
    text = comparison[comparison.columns.difference(hidden, sort=False)]
    text = text.astype(str)
    # A comparison read from a file has texts where a value is missing.
    values = comparison[numbers].apply(pd.to_numeric, errors="coerce")
    texts = []
    for row, table in zip(
        values.to_dict("records"), comparison["table"], strict=True
    ):
        n, value = int(row["n"]), float(row["published"])
        printed = np.format_float_positional(value, min_digits=2)
        printed = f"{value:.0f}" if value.is_integer() else printed
        std = f" ± {row['std']:.3f}" if n > 1 else ""
        measured = f"{row['mean']:.3f}{std} (n = {n})"
        delta = f"{row['delta']:+.3f}"
        known = [measured, delta] if n else ["–", "–"]
        texts.append([f"{printed} ({table})", *known])
    heads = ["published (table)", "measured", "Δ"]
    text = text.join(pd.DataFrame(texts, text.index, heads, dtype=object))
    return text.assign(status=comparison["status"])


def conditions(paper: str, dataset: str, **others: str) -> dict[str, str]:
    """What a paper did on one data set, by name of the condition.

    From ``data/published/conditions.csv``, whose notes say what is inferred:
    of the papers "cefl" (Tables 2 to 5, section IV) and "loss_balance"
    (Tables 1 and 2). ``dataset`` is as their tables have it, ``others`` what
    varies within a table, such as network="resnet18".
    """
    table = pd.read_csv(PUBLISHED_DIR / "conditions.csv", dtype=str)
    rows = table.query("paper == @paper and dataset == @dataset")
    return dict(zip(rows["condition"], rows["value"], strict=True)) | others


def same_conditions(
    paper: Mapping[str, object], here: Mapping[str, object]
) -> pd.DataFrame:
    """One row a condition of the paper: its value, ours, whether the same.

    Compared as text. Numbers are comparable where the column "same" is true
    in every row; a condition that is "not named" in the paper never is.
    Raises ValueError where ``here`` leaves a condition out.
    """
    if missing := sorted(set(paper) - set(here)):
        raise ValueError(f"here: says nothing of {missing}")
    ours = {name: here[name] for name in paper}
    table = pd.DataFrame({"paper": paper, "here": ours}, dtype=object)
    same = table["paper"].astype(str) == table["here"].astype(str)
    table["same"] = same & (table["paper"] != "not named")
    return table.rename_axis("condition")
