"""Whether a measured number may be held against a published one.

Two numbers are comparable where data, network and training are the same.
What the papers say of these stands here; a notebook sets what it did beside
it, and shows the reader which conditions differ.
"""

from collections.abc import Mapping

import pandas as pd

from helpers.papers import results

_SIZES = {
    "cifar10": {"largest class": 5000, "test images": 10_000},
    "cifar100": {"largest class": 500, "test images": 10_000},
    "crops": {"training images": 31_718, "test images": 4540},
    "mushrooms": {"training images": 5614 - 9 * 300, "test images": 9 * 300},
}


def cefl(dataset: str, network: str = "resnet18") -> dict[str, object]:
    """Conditions of the CEFL paper's Tables 2 to 5.

    Source: doi:10.1109/ACCESS.2020.2991237, sections IV.A and IV.B.

    Parameters
    ----------
    dataset : "cifar10", "cifar100", "crops" or "mushrooms"
    network : of Tables 4 and 5, "resnet18" to "resnet101"; the CIFAR tables
        have ResNet-18 alone

    Returns
    -------
    Conditions by name, as `compared` takes them.
    """
    cifar = dataset.startswith("cifar")
    classes = {"cifar10": 10, "cifar100": 100, "crops": 61, "mushrooms": 9}
    return {
        "data set": dataset,
        "classes": classes[dataset],
        **_SIZES[dataset],
        "network": "resnet18_cifar" if cifar else network,
        "weights at the start": "random" if cifar else "imagenet",
        "pixels a side": 32 if cifar else 224,
        "epochs": 60 if dataset == "crops" else 100,
    }


def loss_balance(part: str, network: str) -> dict[str, object]:
    """Conditions of Table 2 of the loss-balance paper.

    Source: doi:10.11992/tis.201808004, Table 1.  Which classes of ILSVRC2014
    the paper took is not in what we have of it, so no run meets the
    condition "classes" of these two sets.  That its networks start from
    ImageNet's weights is our inference: no network learns from seven images
    of a class what Table 2 shows.

    Parameters
    ----------
    part : "caltech_part", "ilsvrc_part1" or "ilsvrc_part2"
    network : "resnet18", "resnet50" or "resnet101"
    """
    rows = results.published("loss_balance_table1").query("dataset == @part")
    test = rows.loc[rows["metric"] == "test_images_per_class", "value"]
    training = rows.loc[rows["metric"] == "train_images", "value"]
    return {
        "classes": "Caltech-101" if part == "caltech_part" else "not named",
        "training images": tuple(int(n) for n in training),
        "test images of a class": int(test.iloc[0]),
        "network": network,
        "weights at the start": "imagenet",
    }


def compared(
    paper: Mapping[str, object], here: Mapping[str, object]
) -> pd.DataFrame:
    """One row a condition of the paper: its value, ours, whether the same.

    Numbers are comparable where the column "same" is true in every row.

    Raises
    ------
    ValueError
        Where ``here`` leaves a condition out.
    """
    if missing := sorted(set(paper) - set(here)):
        raise ValueError(f"here: says nothing of {missing}")
    rows = {
        name: {
            "paper": value,
            "here": here[name],
            "same": value == here[name] and value != "not named",
        }
        for name, value in paper.items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.rename_axis("condition")
