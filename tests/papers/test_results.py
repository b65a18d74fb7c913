"""Tidy rows, saved tables, and what a notebook shows."""

import json

import numpy as np
import pandas as pd
import pytest

from helpers.papers import results
from helpers.session import Workspace

CONSTANTS = {"experiment": "03", "dataset": "synthetic", "split": "random"}


@pytest.fixture
def workspace(tmp_path):
    return Workspace("03", "quick", tmp_path, {"keras": "3", "numpy": "2"})


def rows(values, **columns):
    row = {"method": "cross_entropy", "metric": "f1", "class": "Cyst"}
    return pd.DataFrame(
        [row | columns | {"seed": s, "value": v} for s, v in enumerate(values)]
    )


def test_tidy_fills_in_the_workspace_and_the_defaults(workspace):
    measured = [
        {"method": "a", "seed": 0, "metric": "macro_f1", "value": 0.5},
        {"method": "a", "seed": 1, "metric": "f1", "value": 1, "class": "X"},
    ]
    table = results.tidy(measured, workspace, **CONSTANTS, seconds=2.5)
    assert tuple(table.columns) == results.COLUMNS
    assert table["class"].tolist() == ["", "X"]
    assert json.loads(table["versions"][0]) == workspace.versions
    assert set(table["profile"]) == {"quick"}
    assert set(table["hyperparameters"]) == {"{}"}


def test_tidy_keeps_hyperparameters_as_sorted_json(workspace):
    table = results.tidy(
        rows([0.5, 0.6]),
        workspace,
        **CONSTANTS,
        hyperparameters={"width": 128, "dropout": 0.5},
    )
    expected = '{"dropout": 0.5, "width": 128}'
    assert table["hyperparameters"].tolist() == [expected] * 2


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"colour": "red"}, r"unknown columns \['colour'\]"),
        ({"method": "b"}, r"\['method'\] are given twice"),
    ],
)
def test_tidy_names_a_wrong_column(workspace, extra, message):
    with pytest.raises(ValueError, match=message):
        results.tidy(rows([0.5]), workspace, **CONSTANTS, **extra)


def test_tidy_names_missing_columns_and_values(workspace):
    with pytest.raises(ValueError, match=r"\['dataset', 'split'\]"):
        results.tidy(rows([0.5]), workspace, experiment="03")
    with pytest.raises(ValueError, match=r"\['value'\] lacks"):
        results.tidy(rows([0.5, np.nan]), workspace, **CONSTANTS)


def test_save_round_trips(workspace):
    table = results.tidy(rows([0.1, 0.2]), workspace, **CONSTANTS)
    path = results.save(table, workspace, "03_scores")
    assert path == workspace.run_dir / "results" / "03_scores.csv"
    again = pd.read_csv(path)
    np.testing.assert_array_equal(again["value"], [0.1, 0.2])


def test_save_keeps_a_named_index_and_refuses_an_unnamed_one(workspace):
    table = pd.DataFrame({"n": [1, 2]}, index=pd.Index(["a", "b"], name="x"))
    path = results.save(table, workspace, "named")
    assert path.read_text() == "x,n\na,1\nb,2\n"
    with pytest.raises(ValueError, match="unnamed: name the table's index"):
        results.save(table.rename_axis(None), workspace, "unnamed")


def test_show_rounds_and_hides_the_row_numbers():
    table = results.show(pd.DataFrame({"f1": [0.12345]}))
    assert table.to_string().split() == ["f1", "0.123"]
