"""Tidy rows, saved tables and the comparison with published numbers."""

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


def paper(value, **columns):
    row = {"method": "cross_entropy", "metric": "f1", "class": "Cyst"}
    return pd.DataFrame([{"table": "1", "value": value} | row | columns])


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


def test_published_lists_what_there_is(monkeypatch, tmp_path):
    monkeypatch.setattr(results, "PUBLISHED_DIR", tmp_path)
    (tmp_path / "acne_table9.csv").write_text(
        "source,table,scenario,method,class,metric,value\n"
        "acne,9,A,cross_entropy,,macro_f1,0.78\n"
    )
    row = results.published("acne_table9").iloc[0]
    assert (row["table"], row["class"], row["value"]) == ("9", "", 0.78)
    with pytest.raises(FileNotFoundError, match="there are acne_table9"):
        results.published("acne_table8")


def test_compare_by_the_prediction_interval():
    # mean 0.8, s = 0.1·√(10/4), t(0.975, 4) = 2.776445: half-width 0.48089
    values = 0.8 + 0.1 * np.array([-2, -1, 0, 1, 2])
    inside = results.compare(paper(0.33), rows(values), comparable=True)
    row = inside.iloc[0]
    assert row["mean"] == pytest.approx(0.8)
    assert row["std"] == pytest.approx(0.15811388)
    assert row["n"] == 5
    assert row["delta"] == pytest.approx(0.47)
    assert row["low"] == pytest.approx(0.8 - 0.48089, abs=1e-5)
    assert row["high"] == pytest.approx(0.8 + 0.48089, abs=1e-5)
    assert row["status"] == "within"
    beyond = results.compare(paper(0.31), rows(values), comparable=True)
    assert beyond["status"].item() == "outside"


@pytest.mark.parametrize(
    ("n", "comparable", "status"),
    [
        (0, True, "not measured"),
        (0, False, "not measured"),
        (1, False, "not comparable"),
        (9, False, "not comparable"),
        (1, True, "too few seeds"),
        (4, True, "too few seeds"),
        (5, True, "within"),
    ],
)
def test_compare_status(n, comparable, status):
    measured = rows(np.linspace(0.7, 0.9, n)) if n else rows([1], metric="x")
    table = results.compare(paper(0.8), measured, comparable)
    assert table["status"].item() == status
    assert table["n"].item() == n


def test_compare_matches_on_all_keys_and_refuses_a_mixture():
    published = pd.concat([paper(0.8), paper(0.7, **{"class": ""})])
    measured = pd.concat([rows([0.5] * 5), rows([0.6] * 5, **{"class": ""})])
    table = results.compare(published, measured, comparable=True)
    assert table["mean"].tolist() == pytest.approx([0.5, 0.6])
    read_back = measured.replace({"class": {"": np.nan}})
    again = results.compare(published, read_back, comparable=True)
    pd.testing.assert_frame_equal(again, table)
    mixture = pd.concat([rows([0.5], split="a"), rows([0.6], split="b")])
    with pytest.raises(ValueError, match="two measured values for"):
        results.compare(published, mixture, comparable=True)
    by_split = results.compare(
        paper(0.8, split="b"),
        mixture,
        comparable=True,
        keys=("split", *results.KEYS),
    )
    assert by_split["mean"].item() == 0.6


def test_readable_survives_a_csv(workspace):
    published = pd.concat(
        [paper(0.8), paper(40, metric="errors"), paper(1, metric="none")]
    )
    measured = pd.concat([rows([0.7, 0.8]), rows([38], metric="errors")])
    table = results.compare(published, measured, comparable=False)
    path = results.save(table, workspace, "03_comparison")
    text = results.readable(pd.read_csv(path, keep_default_na=False))
    pd.testing.assert_frame_equal(text, results.readable(table))
    assert text["published (table)"].tolist() == [
        "0.80 (1)",
        "40 (1)",
        "1 (1)",
    ]
    assert text["measured"].tolist() == [
        "0.750 ± 0.071 (n = 2)",
        "38.000 (n = 1)",
        "–",
    ]
    assert text["Δ"].tolist() == ["-0.050", "-2.000", "–"]


def test_show_rounds_and_hides_the_row_numbers():
    table = results.show(pd.DataFrame({"f1": [0.12345]}))
    assert table.to_string().split() == ["f1", "0.123"]
