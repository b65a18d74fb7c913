"""Published numbers beside measured ones, and when the two compare."""

import numpy as np
import pandas as pd
import pytest

from helpers.papers import results as comparison
from helpers.papers.results import conditions, readable, same_conditions
from helpers.training.recipe import RECIPES


def rows(values, **columns):
    row = {"method": "cross_entropy", "metric": "f1", "class": "Cyst"}
    return pd.DataFrame(
        [row | columns | {"seed": s, "value": v} for s, v in enumerate(values)]
    )


def paper(value, **columns):
    row = {"method": "cross_entropy", "metric": "f1", "class": "Cyst"}
    return pd.DataFrame([{"table": "1", "value": value} | row | columns])


def test_compare_by_the_prediction_interval():
    # mean 0.8, s = 0.1·√(10/4), t(0.975, 4) = 2.776445: half-width 0.48089
    values = 0.8 + 0.1 * np.array([-2, -1, 0, 1, 2])
    expected = {"mean": 0.8, "std": 0.15811388, "n": 5}
    expected |= {"low": 0.8 - 0.48089, "high": 0.8 + 0.48089}
    for number, status in ((0.33, "within"), (0.31, "outside")):
        table = comparison.compare(paper(number), rows(values), True)
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
    table = comparison.compare(paper(0.8), measured, comparable)
    assert table["status"].item() == status
    assert table["n"].item() == n


def test_compare_matches_on_all_keys_and_refuses_a_mixture():
    published = pd.concat([paper(0.8), paper(0.7, **{"class": ""})])
    measured = pd.concat([rows([0.5] * 5), rows([0.6] * 5, **{"class": ""})])
    table = comparison.compare(published, measured, comparable=True)
    assert table["mean"].tolist() == pytest.approx([0.5, 0.6])
    read_back = measured.replace({"class": {"": np.nan}})
    again = comparison.compare(published, read_back, comparable=True)
    pd.testing.assert_frame_equal(again, table)
    mixture = pd.concat([rows([0.5], split="a"), rows([0.6], split="b")])
    with pytest.raises(ValueError, match="two measured values for"):
        comparison.compare(published, mixture, comparable=True)
    by_split = comparison.compare(
        paper(0.8, split="b"),
        mixture,
        comparable=True,
        keys=("split", *comparison.KEYS),
    )
    assert by_split["mean"].item() == 0.6


def test_readable_survives_a_csv(tmp_path):
    published = pd.concat(
        [paper(0.8), paper(40, metric="errors"), paper(1, metric="none")]
    )
    measured = pd.concat([rows([0.7, 0.8]), rows([38], metric="errors")])
    table = comparison.compare(published, measured, comparable=False)
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


@pytest.mark.parametrize("part", ["ilsvrc_part1", "ilsvrc_part2"])
def test_classes_that_are_not_named_cannot_be_the_same(part):
    paper = conditions("loss_balance", part, network="resnet50")
    assert paper["test images of a class"] == "150"
    assert not same_conditions(paper, paper)["same"].all()


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
    text = comparison.published("cefl_text").query(
        "dataset == @key and `class` == ''"
    )
    told = text.drop_duplicates("metric").set_index("metric")["value"]
    own = conditions("cefl", dataset)
    names = {metric: NAMES.get(metric, metric) for metric in told.index}
    both = {m: name for m, name in names.items() if name in own}
    assert len(both) == n
    for metric, name in both.items():
        assert float(own[name]) == told[metric]
    assert told["epochs"] == RECIPES[recipe].epochs
    start = "imagenet" if told["pretrained"] else "random"
    assert own["weights at the start"] == start
    if dataset == "mushrooms":
        test = 9 * told["test_images_per_class"]
        assert float(own["test images"]) == test
        assert float(own["training images"]) == told["images"] - test


def test_conditions_are_those_of_the_loss_balance_papers_table_1():
    table = comparison.published("loss_balance_table1")
    for part, rows in table.set_index("metric").groupby("dataset")["value"]:
        own = conditions("loss_balance", part)
        sizes = tuple(rows["train_images"].astype(int))
        assert own["training images"] == str(sizes)
        of_class = int(rows["test_images_per_class"])
        assert own["test images of a class"] == str(of_class)


def test_the_table_says_what_differs():
    table = same_conditions({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4})
    assert table["same"].tolist() == [True, False]
    assert table.loc["b"].tolist() == [2, 3, False]
    with pytest.raises(ValueError, match="says nothing of.*'b'"):
        same_conditions({"a": 1, "b": 2}, {"a": 1})
