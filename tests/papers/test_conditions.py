"""What must be the same before two numbers are compared."""

import pandas as pd
import pytest

from helpers.papers import conditions, results
from helpers.training.recipe import PROTOCOLS

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


def comparable(paper, here):
    return bool(conditions.compared(paper, here)["same"].all())


def test_a_run_by_the_paper_is_comparable():
    paper = conditions.cefl("mushrooms", "resnet50")
    assert comparable(paper, MUSHROOMS)
    assert comparable(
        conditions.loss_balance("caltech_part", "resnet50"), CALTECH
    )


@pytest.mark.parametrize(
    "change",
    [
        {"weights at the start": "random"},
        {"network": "resnet18"},
        {"test images": 2699},
        {"epochs": 99},
        {"data set": "digits"},
    ],
)
def test_one_difference_in_the_cefl_papers_conditions_is_enough(change):
    paper = conditions.cefl("mushrooms", "resnet50")
    assert not comparable(paper, MUSHROOMS | change)


@pytest.mark.parametrize(
    "change",
    [
        {"test images of a class": 95},
        {"weights at the start": "random"},
        {"network": "block 5"},
        {"training images": (2, 63, 3, 19, 132, 132, 26, 5)},
        {"classes": "digits"},
    ],
)
def test_one_difference_in_the_loss_balance_papers_is_enough(change):
    paper = conditions.loss_balance("caltech_part", "resnet50")
    assert not comparable(paper, CALTECH | change)


@pytest.mark.parametrize("part", ["ilsvrc_part1", "ilsvrc_part2"])
def test_classes_that_are_not_named_cannot_be_the_same(part):
    paper = conditions.loss_balance(part, "resnet50")
    assert paper["test images of a class"] == 150
    assert not comparable(paper, dict(paper))


@pytest.mark.parametrize(
    ("name", "protocol", "key"),
    [
        ("cifar10", "cifar", "cifar10"),
        ("cifar100", "cifar", "cifar100"),
        ("crops", "crops", "crop_disease"),
        ("mushrooms", "mushrooms", "mushrooms"),
    ],
)
def test_conditions_are_those_of_the_published_text(name, protocol, key):
    own = conditions.cefl(name)
    text = results.published("cefl_text").query("dataset == @key")
    text = text[text["class"] == ""].drop_duplicates("metric")
    told = text.set_index("metric")["value"]
    assert own["epochs"] == told["epochs"] == PROTOCOLS[protocol].epochs
    assert own["pixels a side"] == told["image_side"]
    assert (own["weights at the start"] == "imagenet") == told["pretrained"]
    if "cifar" in name:
        assert own["largest class"] == told["largest_class"]
        assert own["test images"] == told["test_images"]
    elif name == "crops":
        assert own["classes"] == told["classes"]
        assert own["training images"] == told["train_images"]
        assert own["test images"] == told["validation_images"]
    else:
        assert own["classes"] == told["classes"]
        assert own["test images"] == 9 * told["test_images_per_class"]
        assert own["training images"] == told["images"] - own["test images"]


def test_the_table_says_what_differs():
    table = conditions.compared({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4})
    assert isinstance(table, pd.DataFrame)
    assert table["same"].tolist() == [True, False]
    assert table.loc["b"].tolist() == [2, 3, False]
    with pytest.raises(ValueError, match="says nothing of.*'b'"):
        conditions.compared({"a": 1, "b": 2}, {"a": 1})
