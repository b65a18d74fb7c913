"""Tidy rows, saved tables, and published numbers beside measured ones."""

import json

import numpy as np
import pandas as pd
import pytest

from helpers.papers import results
from helpers.papers.results import conditions, readable, same_conditions
from helpers.session import Workspace
from helpers.training.recipe import RECIPES

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
    ("values", "columns", "message"),
    [
        ([0.5], CONSTANTS | {"colour": "red"}, r"columns \['colour'\] are"),
        ([0.5], CONSTANTS | {"method": "b"}, r"\['method'\] are given twice"),
        ([0.5], {"experiment": "03"}, r"columns \['dataset', 'split'\] are"),
        ([0.5, np.nan], CONSTANTS, r"\['value'\] lacks"),
    ],
)
def test_tidy_names_wrong_columns_and_missing_values(
    workspace, values, columns, message
):
    with pytest.raises(ValueError, match=message):
        results.tidy(rows(values), workspace, **columns)


def test_save_keeps_a_named_index_and_refuses_an_unnamed_one(workspace):
    table = pd.DataFrame({"n": [1, 2]}, index=pd.Index(["a", "b"], name="x"))
    path = results.save(table, workspace, "named")
    assert path == workspace.run_dir / "results" / "named.csv"
    assert path.read_text() == "x,n\na,1\nb,2\n"
    with pytest.raises(ValueError, match="unnamed: name the table's index"):
        results.save(table.rename_axis(None), workspace, "unnamed")


def test_show_rounds_and_hides_the_row_numbers():
    table = results.show(pd.DataFrame({"f1": [0.12345]}))
    assert table.to_string().split() == ["f1", "0.123"]


def paper(value, **columns):
    row = {"method": "cross_entropy", "metric": "f1", "class": "Cyst"}
    return pd.DataFrame([{"table": "1", "value": value} | row | columns])


def test_compare_by_the_prediction_interval():
    # mean 0.8, s = 0.1·√(10/4), t(0.975, 4) = 2.776445: half-width 0.48089
    values = 0.8 + 0.1 * np.array([-2, -1, 0, 1, 2])
    expected = {"mean": 0.8, "std": 0.15811388, "n": 5}
    expected |= {"low": 0.8 - 0.48089, "high": 0.8 + 0.48089}
    for number, status in ((0.33, "within"), (0.31, "outside")):
        table = results.compare(paper(number), rows(values), True)
        row = table.iloc[0]
        assert row["status"] == status
        assert row["delta"] == pytest.approx(0.8 - number)
        found = row[list(expected)].to_dict()
        assert found == pytest.approx(expected, abs=1e-5)


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


def test_readable_survives_a_csv(tmp_path):
    published = pd.concat(
        [paper(0.8), paper(40, metric="errors"), paper(1, metric="none")]
    )
    measured = pd.concat([rows([0.7, 0.8]), rows([38], metric="errors")])
    table = results.compare(published, measured, comparable=False)
    path = tmp_path / "03_comparison.csv"
    table.to_csv(path, index=False)
    text = readable(pd.read_csv(path, keep_default_na=False))
    pd.testing.assert_frame_equal(text, readable(table))
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


MUSHROOMS = {
    "data set": "mushrooms",
    "classes": 9,
    "training images": 2914,
    "test images": 2700,
    "network": "resnet50",
    "weights at the start": "imagenet",
    "pixels a side": 224,
    "epochs": 100,
}
CALTECH = {
    "classes": "Caltech-101",
    "training images": (7, 335, 14, 100, 700, 698, 139, 28),
    "test images of a class": 100,
    "network": "resnet50",
    "weights at the start": "imagenet",
}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"weights at the start": "random"}, False),
        ({"network": "resnet18"}, False),
        ({"test images": 2699, "test images of a class": 95}, False),
        ({"training images": (2, 63, 3, 19, 132, 132, 26, 5)}, False),
        ({"classes": "digits"}, False),
    ],
)
def test_one_other_condition_is_enough(change, same):
    for of, here in (
        (("cefl", "mushrooms"), MUSHROOMS),
        (("loss_balance", "caltech_part"), CALTECH),
    ):
        paper = conditions(*of, network="resnet50")
        table = same_conditions(paper, here | change)
        assert table["same"].all() == same
        assert table.index.tolist() == list(here)


def test_what_is_not_named_or_not_said_is_not_the_same():
    for part in ("ilsvrc_part1", "ilsvrc_part2"):
        paper = conditions("loss_balance", part, network="resnet50")
        assert paper["test images of a class"] == "150"
        assert not same_conditions(paper, paper)["same"].all()
    with pytest.raises(ValueError, match="says nothing of.*'b'"):
        same_conditions({"a": 1, "b": 2}, {"a": 1})


NAMES = {
    "image_side": "pixels a side",
    "test_images": "test images",
    "validation_images": "test images",
    "train_images": "training images",
    "largest_class": "largest class",
}


@pytest.mark.parametrize(
    ("dataset", "recipe", "key", "n"),
    [
        ("cifar10", "cifar", "cifar10", 4),
        ("cifar100", "cifar", "cifar100", 4),
        ("crops", "crops", "crop_disease", 5),
        ("mushrooms", "mushrooms", "mushrooms", 3),
    ],
)
def test_conditions_are_those_of_the_published_text(dataset, recipe, key, n):
    text = results.published("cefl_text").query(
        "dataset == @key and `class` == ''"
    )
    text = text.drop_duplicates("metric").set_index("metric")["value"]
    own = conditions("cefl", dataset)
    names = {metric: NAMES.get(metric, metric) for metric in text.index}
    both = {m: float(own[name]) for m, name in names.items() if name in own}
    assert len(both) == n and both == text[list(both)].to_dict()
    assert text["epochs"] == RECIPES[recipe].epochs
    start = "imagenet" if text["pretrained"] else "random"
    assert own["weights at the start"] == start


def test_conditions_are_those_of_the_loss_balance_papers_table_1():
    table = results.published("loss_balance_table1")
    for part, rows in table.set_index("metric").groupby("dataset")["value"]:
        own = conditions("loss_balance", part)
        sizes = tuple(rows["train_images"].astype(int))
        assert own["training images"] == str(sizes)
        of_class = int(rows["test_images_per_class"])
        assert own["test images of a class"] == str(of_class)
