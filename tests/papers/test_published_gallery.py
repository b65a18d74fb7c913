"""The trick gallery's printed errors, as accuracies, and what they span."""

import pandas as pd
import pytest

from helpers.paths import PUBLISHED_DIR

RATIOS = ["100", "50"]


@pytest.fixture(scope="module")
def table():
    path = PUBLISHED_DIR / "bagoftricks_table.csv"
    return pd.read_csv(path, dtype=str, keep_default_na=False).astype(
        {"value": float}
    )


def test_columns_are_those_of_the_cefl_papers_tables(table):
    theirs = pd.read_csv(PUBLISHED_DIR / "cefl_table2.csv", nrows=1)
    assert table.columns.tolist() == theirs.columns.tolist()
    assert set(table["source"]) == {"bag_of_tricks"}
    assert set(table["network"]) == {"resnet32"}
    keys = ["dataset", "imbalance_ratio", "method"]
    assert not table.duplicated(keys).any()
    assert len(table) == 6 * 2 * 2


def test_values_are_one_minus_the_printed_error(table):
    printed = table["note"].str.extract(r"error of (\d\d\.\d\d) %")[0]
    error = printed.astype(float) / 100
    assert (table["value"] + error - 1).abs().max() < 1e-9


# Sums of the printed errors, added up outside this project.
@pytest.mark.parametrize(
    ("dataset", "sums"),
    [("cifar10", [161.20, 130.69]), ("cifar100", [365.06, 338.07])],
)
def test_columns_add_up(table, dataset, sums):
    rows = table[table["dataset"] == dataset]
    errors = 100 * (1 - rows.groupby("imbalance_ratio")["value"].mean()) * 6
    assert errors[RATIOS].tolist() == pytest.approx(sums)


def test_balanced_softmax_leads_in_every_column(table):
    """CEFL's largest average gain over cross-entropy is 3.5 points."""
    wide = table.pivot(
        index="method", columns=["dataset", "imbalance_ratio"], values="value"
    )
    gain = wide.loc["balanced_softmax"] - wide.loc["cross_entropy"]
    assert gain.idxmin() == ("cifar100", "50")
    assert 100 * gain.min() == pytest.approx(2.70)
    assert 100 * gain["cifar10", "100"] == pytest.approx(7.18)
    assert (wide.idxmax() == "balanced_softmax").all()
