"""The report on a data set, and what can be divided into folds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from helpers.data import foldable, report
from helpers.data.dataset import found_table, from_arrays
from helpers.imbalance import folds


def made(groups_of_class, copies=3, **known):
    """A data set in which each group has some copies, all of one class."""
    names = [chr(97 + c) for c in range(len(groups_of_class))]
    labels = np.repeat(np.arange(len(names)), np.array(groups_of_class))
    groups = [f"{names[c]}{k}" for k, c in enumerate(labels)]
    labels = np.repeat(labels, copies)
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
    images = np.tile(images, (1, 2, 2, 3))
    known.setdefault("groups", np.repeat(groups, copies))
    known.setdefault("group_rule", "roboflow")
    return from_arrays("toy", images, labels, names, **known)


def test_a_report_says_what_is_there():
    lines = report(made([12, 5, 3]))
    assert lines == [
        "60 images of 3 classes: a 36, b 15, c 9. Imbalance ratio ρ = 4.00.",
        "20 sources by the file names; the largest, a0, has 3 images; c has "
        "the fewest sources, 3.",
        "60 of 60 files are used.",
        "Possible splits: at random, by source (up to 3 folds).",
    ]


def test_what_the_report_says_of_labels_groups_and_files_left_out():
    n = 30
    facts = {
        "patient_id": [f"p{k // 2}" for k in range(n)],
        "source": [f"file {k}" for k in range(n)],
        "age": [str(k // 3) for k in range(n)],
    }
    ds = made(
        [6, 4],
        groups=np.array([f"x{k}" for k in range(n)]),
        facts=pd.DataFrame(facts),
        published_split=["train"] * 18 + ["val"] * 6 + ["test"] * 6,
        labels_from="t.csv (files: 'f', labels: 'dx')",
    )
    rows = pd.DataFrame({"file": list("vwxy"), "reason": "empty label"})
    rows.loc[4] = ["z", "label without a file"]
    found = pd.concat([ds.found, found_table(rows.to_dict("records"))])
    text = "\n".join(report(replace(ds, found=found)))
    assert "Labels come from t.csv (files: 'f', labels: 'dx')." in text
    assert "each image is a source of its own" in text
    assert "Columns to try as GROUPS: patient_id (15 values).\n" in text
    assert "Left out, empty label: 4 (v, w, x, …): its row names" in text
    assert "30 of 34 files are used." in text
    assert "Left out, label without a file: 1 (z): a row of the table" in text
    assert "The published split is left out: the training set has no" in text


def test_images_without_a_value_in_the_column_of_groups():
    facts = pd.DataFrame(
        {"lesion_id": ["", "x", "x"] * 10, "case": ["u"] * 30}
    )
    ds = made([6, 4], facts=facts, group_rule="own + lesion_id")
    lines = report(ds)
    assert lines[2].startswith("10 images have no lesion_id: each is a source")
    assert not any("to try" in line for line in lines)


@pytest.mark.parametrize(
    ("copies", "told"),
    [
        (3, "left out: class 'b' has 2 sources, too few for 3 sets"),
        (3, "To split by source, set GROUPS, add sources, or leave"),
        (1, "No split is possible: classes with fewer than 3 images"),
    ],
)
def test_where_no_split_by_source_is_possible(copies, told):
    lines = report(made([5, 2], copies))
    assert any(told in line for line in lines)


def test_folds_that_the_groups_allow():
    ds = made([12, 4, 5])
    part, n_folds, notes = foldable(ds)
    assert part is ds and n_folds == 4 and notes == []
    folds(ds.labels, ds.groups, n_folds, 0)


def test_classes_of_few_groups_are_left_out_by_name():
    part, n_folds, notes = foldable(made([6, 2, 7, 1]))
    assert part.class_names == ("a", "c") and n_folds == 5
    assert notes == [
        "Classes with fewer than 3 sources are left out: 'b' (2), 'd' (1). "
        "Add sources to study them."
    ]
    assert set(part.found["reason"]) == {"", "class not taken"}


@pytest.mark.parametrize(
    "ds", [made([6, 2]), made([4, 4], groups=None, group_rule=None)]
)
def test_without_folds_by_group_each_image_is_its_own(ds):
    part, n_folds, notes = foldable(ds)
    assert part.class_names == ds.class_names and n_folds == 5
    assert part.groups.tolist() == ds.files.tolist()
    assert len(notes) == 1 and "copies may leak" in notes[0]
    folds(part.labels, part.groups, n_folds, 0)


def test_one_patient_in_all_classes_makes_no_folds():
    """Every class has groups enough, but they are the same two."""
    groups = np.array(["p", "q", "p"] * 10)
    ds = made([5, 5], groups=groups)
    assert "No folds by source: class" in foldable(ds)[2][0]
