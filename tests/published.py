"""Published tables for the tests that check them."""

import pandas as pd

from helpers import papers as rd
from helpers.paths import PUBLISHED_DIR

CE, WEIGHTED, OVER = "cross_entropy", "weighted_cross_entropy", "over_sampling"
D, R = "densenet121", "resnet50"


def read(name, **keys):
    """The rows of a file that have these values; class_ is the class."""
    path = PUBLISHED_DIR / f"{name}.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table["value"] = pd.to_numeric(table["value"])
    for column, key in keys.items():
        table = table[table[column.rstrip("_")] == key]
    return table


def wide(name, index, columns, **keys):
    """A file as a table, its rows in the file's order."""
    rows = read(name, **keys)
    table = rows.pivot(index=index, columns=columns, values="value")
    return table.loc[rows.set_index(index).index.unique()]


def number(name, metric, **keys):
    """The one value of a metric; a key that is not given is empty."""
    columns = {"method", "class_"}
    if not name.startswith("acne"):
        columns.add("network")
    if name == "cefl_text":
        columns.add("dataset")
    keys = dict.fromkeys(columns, "") | keys
    return read(name, metric=metric, **keys)["value"].item()


def fits(values, n, decimals=4):
    """Whether each of the printed values can be a share of n."""
    return [bool(rd.fits_rounding(x, n, decimals)) for x in values]
