"""Published numbers, measured ones beside them, and whether they compare."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.evaluation import half_width
from helpers.papers.results import readable
from helpers.paths import PUBLISHED_DIR

KEYS = ("method", "class", "metric")
MIN_SEEDS = 5

OWN_FOLDER = "an image folder"
"""The origin that is recorded for a reader's own images."""


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
        key, number = tuple(row[name] for name in keys), float(row["value"])
        found = values.get(key, np.array([]))
        n, mean = len(found), found.mean() if len(found) else np.nan
        half = half_width(found) * np.sqrt(n + 1) if n else np.nan
        if n == 0:
            status = "not measured"
        elif not comparable:
            status = "not comparable"
        elif n < MIN_SEEDS:
            status = "too few seeds"
        else:
            inside = abs(mean - number) <= half
            status = "within" if inside else "outside"
        rows.append(
            {
                **dict(zip(keys, key, strict=True)),
                "table": row["table"],
                "published": number,
                "mean": mean,
                "std": found.std(ddof=1) if n > 1 else np.nan,
                "n": n,
                "delta": mean - number,
                "low": mean - half,
                "high": mean + half,
                "status": status,
            }
        )
    return pd.DataFrame(rows)


def conditions(paper: str, dataset: str, **others: str) -> dict[str, str]:
    """What a paper did on one data set, by name of the condition.

    Numbers are comparable where data, network and training are the same.
    From ``data/published/conditions.csv``; its notes say what is inferred.

    Parameters
    ----------
    paper : "cefl" (its Tables 2 to 5, sections IV.A and IV.B) or
        "loss_balance" (its Tables 1 and 2)
    dataset : as the paper's tables have it
    others : what varies within a table, such as network="resnet18"
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


def overview(folder: Path, number: str, rows: int = 16) -> str:
    """A notebook's comparison with a paper as text for a terminal.

    folder : a run's folder of result tables
    number : of the notebook, "03"
    rows : how many are shown at most

    Returns which data and network were used, and the measured scores over
    all classes and F1 of each class. "" where there is no comparison or no
    measured row, and for a reader's own images, to which no printed number
    belongs.
    """
    path = folder / f"{number}_comparison.csv"
    if not path.is_file():
        return ""
    table = pd.read_csv(path, keep_default_na=False)
    table = table[table["status"] != "not measured"]
    facts: dict[str, str] = {}
    for told in sorted(folder.glob(f"{number}_*provenance.csv")):
        pairs = pd.read_csv(told, dtype=str, keep_default_na=False)
        facts |= dict(pairs.iloc[:, :2].to_numpy())
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
