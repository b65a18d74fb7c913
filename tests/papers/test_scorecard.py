"""Every published number and claim once, and no status it has not earned."""

import numpy as np
import pandas as pd
import pytest

from helpers.evaluation import half_width
from helpers.papers import claims as claims_module
from helpers.papers import measured_claims, read_claims, scorecard, verdict
from helpers.paths import MEASURED_DIR, NOTEBOOKS_DIR, PUBLISHED_DIR

A, B = "cross_entropy", "weighted_cross_entropy"
OTHERS = {"conditions", "audit_claims", "severity_claims", "measured_claims"}


@pytest.fixture(scope="module")
def nothing(tmp_path_factory):
    """The scorecard of a reader who has run no other notebook."""
    return scorecard.scorecard(tmp_path_factory.mktemp("none"))


def test_every_published_row_is_there_once(nothing):
    rows = []
    for path in PUBLISHED_DIR.glob("*.csv"):
        if path.stem not in OTHERS:
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
            rows += [(path.stem, float(v)) for v in table["value"] if v]
    found = list(zip(nothing["file"], nothing["value"], strict=True))
    assert sorted(found) == sorted(rows) and len(rows) == 1063
    assert not nothing.duplicated(["table", *scorecard.KEYS]).any()
    assert set(nothing["status"]) <= set(scorecard.STATUSES)
    assert (nothing["why"] != "").all()
    assert all((NOTEBOOKS_DIR / f).is_file() for f in set(nothing["notebook"]))


def test_what_is_no_result_is_not_measured(nothing):
    states = nothing[nothing["why"].str.startswith("states")]
    assert set(states["status"]) == {"not measured"}
    kinds = set(states["printed metric"])
    assert {"epochs", "train_images", "learning_rate", "cells"} <= kinds
    assert not kinds & {"accuracy", "f1", "auroc", "recall", "precision"}


def test_without_a_run_the_reference_stands_alone(nothing):
    assert nothing["mean, own run"].isna().all()
    acne = nothing[nothing["file"] == "acne_table1"]
    assert set(acne["status"]) == {"not comparable"}
    scores = pd.read_csv(MEASURED_DIR / "acne5_scores.csv")
    cyst = scores.query(
        "split == 'random' and method == @A and `class` == 'Cyst'"
        " and metric == 'f1'"
    )["value"]
    row = acne.query("`class` == 'Cyst' and metric == 'f1'").iloc[0]
    assert row["mean, reference"] == pytest.approx(cyst.mean())
    half = half_width(cyst) * np.sqrt(len(cyst) + 1)
    assert row["high, reference"] == pytest.approx(cyst.mean() + half)
    assert row["n, reference"] == 5
    # No loss-balance paper's number is in the reference results.
    balance = nothing[nothing["file"] == "loss_balance_table2"]
    assert set(balance["status"]) == {"not measured"}


def write(folder, name, table):
    pd.DataFrame(table).to_csv(folder / f"{name}.csv", index=False)


def acne_run(folder, status):
    """A run of 03 in which A is the paper's, and B is 0.3 for all seeds."""
    rows = [
        (method, "random", seed, "f1", "Cyst", value + 0.01 * (seed - 2))
        for method, value in ((A, 0.81), (B, 0.3))
        for seed in range(5)
    ]
    columns = ["method", "split", "seed", "metric", "class", "value"]
    write(folder, "03_scores", pd.DataFrame(rows, columns=columns))
    write(folder, "03_comparison", {"status": [status]})


@pytest.mark.parametrize(
    ("found", "statuses"),
    [
        ("within", ["within", "outside", "outside"]),
        ("not comparable", ["not comparable"] * 3),
    ],
)
def test_status_of_the_readers_run(tmp_path, found, statuses):
    acne_run(tmp_path, found)
    table = scorecard.scorecard(tmp_path)
    rows = table[(table["class"] == "Cyst") & table["metric"].str.match("f1")]
    rows = rows[rows["file"] == "acne_table3"].set_index("method")
    assert rows.loc[[A, B, ""], "status"].tolist() == statuses
    assert rows.loc["", "mean, own run"] == pytest.approx(-0.51)
    same = rows["why"] == "the paper's conditions, five random seeds"
    assert same.tolist() == [s != "not comparable" for s in rows["status"]]


def test_other_notebooks_results_find_their_rows(tmp_path):
    keys = {"class": [""], "metric": ["accuracy"], "table": ["Table 2"]}
    stats = {"mean": [0.9], "n": [3], "low": [0.8], "high": [1.0]}
    same = keys | stats | {"status": ["not comparable"]}
    there = {"dataset": ["caltech_part"], "network": ["resnet18"]}
    balance = {"method": ["loss_balance_counts"]}
    write(tmp_path, "06_comparison", same | there | balance)
    ours = {"method": ["cefl2_g2"], "imbalance_ratio": ["20"]}
    write(tmp_path, "05_comparison", same | ours)
    sweep = {"design": ["as published", "fixed test"], "rho": [2.03, 2.03]}
    sweep |= {A: [0.7, 0.1], "focal": [0.6, 0.1]}
    write(tmp_path, "08_sweep", sweep)
    table = scorecard.scorecard(tmp_path)
    own = table[table["mean, own run"].notna()].set_index("file")
    assert own.index.tolist() == [
        *("cefl_table2", "loss_balance_table2"),
        *["rbc_table3"] * 4,  # two losses, two networks
    ]
    assert own.loc["cefl_table2", "value"] == 0.8158
    assert own.loc["loss_balance_table2", "value"] == 0.99
    assert set(own.loc["rbc_table3", "mean, own run"]) == {0.6, 0.7}
    # The red cells' reference is there as well.
    assert own.loc["rbc_table3", "why"].str.startswith("human cells").all()


def test_gains_are_over_cross_entropy_all_else_the_same(nothing):
    table = nothing[nothing["file"] == "cefl_table2"]
    rows = scorecard.gains(table[table["metric"] == "accuracy"])
    one = rows.query("method == 'cefl2_g2' and imbalance_ratio == '100'")
    assert one["delta"].item() == pytest.approx(0.6915 - 0.6559)
    assert (rows["method"] != A).all() and len(rows) == 14 * 7
    measured = pd.DataFrame(
        {"method": ["cefl2_g2"], "imbalance_ratio": ["100"]}
        | {"delta": [0.01], "low": [0.0], "high": [0.02]}
    )
    keys = ["method", "imbalance_ratio"]
    at = scorecard.at_the_same(rows, "reference", measured, keys)
    assert at["label"].tolist() == ["CEFL2 (γ = 2)"]
    assert scorecard.at_the_same(rows, "own run", measured, keys).empty


# Claims


def test_every_claim_has_a_verdict_by_one_of_two_ways(nothing):
    audit = read_claims("audit_claims")
    audited = pd.DataFrame(
        {"found": "1 of 2", "verdict": "open"}, index=audit.index
    )
    table = scorecard.claims_table(audited)
    severity, measured = map(
        read_claims, ("severity_claims", "measured_claims")
    )
    assert len(table) == len(audit) + len(severity) + len(measured)
    assert table["by"].value_counts()["arithmetic"] == len(audit)
    assert set(table["verdict"]) == {"supported", "contradicted", "open"}
    assert table.notna().all(axis=None) and (table != "").all(axis=None)
    assert all((NOTEBOOKS_DIR / f).is_file() for f in set(table["notebook"]))
    shown = scorecard.overview(nothing, table)
    assert shown[scorecard.STATUSES].sum().sum() == len(nothing)
    verdicts = shown[["holds", "contradicted", "open"]]
    assert verdicts.sum().sum() == len(table)


def test_measured_claims_are_read_off_the_reference_results():
    table = measured_claims()
    assert (table != "").all(axis=None) and table.index.is_unique
    effects = pd.read_csv(MEASURED_DIR / "acne5_effects.csv", index_col=0)
    ends = ["delta", "low", "high"]
    expected = effects.loc["loss, B - A, by source", ends].tolist()
    numbers = table[["number", "low", "high"]]
    assert numbers.loc["weighted, source"].tolist() == expected
    # Two seeds: mean and half-width 12.706 standard errors, by hand.
    scores = pd.read_csv(MEASURED_DIR / "cifar10_lt_scores.csv")
    scores = scores[scores["metric"] == "accuracy"].set_index("method")
    gap = (
        scores["value"]["cefl_g2"].array - scores["value"]["focal_a1_g2"].array
    )
    half = 12.7062 * gap.std(ddof=1) / np.sqrt(2)
    mean, low, high = numbers.loc["cefl − focal, CIFAR-10"]
    assert mean == pytest.approx(gap.mean())
    assert [low, high] == pytest.approx([mean - half, mean + half], abs=1e-6)
    # Of all ρ, the least.
    sweep = pd.read_csv(MEASURED_DIR / "rbc_experiment_sweep.csv")
    sweep = sweep[sweep["design"] == "fixed test"]
    least = sweep[["gain", "low", "high"]].min().tolist()
    assert numbers.loc["every ρ, fixed test"].tolist() == least
    # Undersampling, the other way round.
    effects = pd.read_csv(MEASURED_DIR / "rbc_experiment_effects.csv")
    ends = effects.set_index("method").loc["under_sampling"]
    turned = [-ends["delta"], -ends["high"], -ends["low"]]
    assert numbers.loc["under, cells"].tolist() == turned


def test_a_claim_without_its_row_is_named(monkeypatch):
    table = read_claims("measured_claims").head(1).assign(row="label == 'x'")
    monkeypatch.setattr(claims_module, "read_claims", lambda name: table)
    with pytest.raises(
        ValueError, match="random: acne5_effects.csv has no row"
    ):
        measured_claims()


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.1, 0.2, "supported"),
        (-0.1, 0.0, "contradicted"),
        (0.0, 0.0, "contradicted"),
        (0.0, 0.1, "open"),
        (float("nan"), float("nan"), "open"),
    ],
)
def test_a_verdict_follows_the_whole_interval(low, high, said):
    assert verdict(low, high) == said


def test_tables_in_markdown_link_to_notebooks():
    file = scorecard.notebook_file("03")
    table = pd.DataFrame({"found": ["1 | 2"], "notebook": [file]})
    assert scorecard.markdown(table).splitlines() == [
        "| found | notebook |",
        "| :-- | :-- |",
        f"| 1 \\| 2 | [03]({file}) |",
    ]
