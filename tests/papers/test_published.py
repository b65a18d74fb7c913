"""The published numbers: complete, consistent, and where they are not."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from helpers.evaluation import metrics as ev
from helpers.methods.registry import METHODS
from helpers.papers import rounding as rd
from helpers.paths import PUBLISHED_DIR

CLASSES = ["Blackheads", "Cyst", "Papules", "Pustules", "Whiteheads"]
COLUMNS = [
    "source",
    "table",
    "scenario",
    "method",
    "class",
    "metric",
    "value",
]
A, B = "cross_entropy", "weighted_cross_entropy"
# Pictures of each class in the public set, and in its published test part.
PUBLIC = np.array([1240, 1030, 1032, 1006, 299])
PUBLISHED_TEST = np.array([265, 189, 202, 205, 57])


def _read(name):
    return pd.read_csv(PUBLISHED_DIR / f"{name}.csv", keep_default_na=False)


def _classes(name):
    """A published table as `per_class` would make it."""
    rows = _read(name).query("`class` != ''")
    wide = rows.pivot(index="class", columns="metric", values="value")
    return wide.loc[CLASSES]


def _text(metric, method, of_class=""):
    rows = _read("acne_text").query(
        "metric == @metric and method == @method and `class` == @of_class"
    )
    return rows["value"].item()


@pytest.mark.parametrize(
    "name", ["acne_table1", "acne_table2", "acne_table3", "acne_text"]
)
def test_columns_and_keys(name):
    table = _read(name)
    columns = [
        "source",
        "table",
        "scenario",
        "method",
        "class",
        "metric",
        "value",
    ]
    assert table.columns[:7].tolist() == columns
    assert table["value"].dtype == float
    assert set(table["method"]) <= {*METHODS, ""}
    assert set(table["class"]) <= {*CLASSES, ""}
    assert not table.duplicated(["table", "method", "class", "metric"]).any()


def test_tables_are_whole():
    for name in ("acne_table1", "acne_table2"):
        table = _classes(name)
        assert table.shape == (5, 3)
        assert table.notna().all(axis=None)
    assert len(_read("acne_table3")) == 15


# Sums of the printed columns, added up by hand from the paper.
@pytest.mark.parametrize(
    ("name", "precision", "recall", "f1"),
    [
        ("acne_table1", 3.90, 4.05, 3.92),
        ("acne_table2", 4.19, 4.34, 4.25),
    ],
)
def test_columns_add_up(name, precision, recall, f1):
    total = _classes(name).sum()
    assert total.to_dict() == pytest.approx(
        {"precision": precision, "recall": recall, "f1": f1}
    )


def test_table_3_follows_from_tables_1_and_2():
    table = _read("acne_table3")
    f1 = table.query("metric == 'f1'").pivot(
        index="class", columns="method", values="value"
    )
    change = table.query("metric == 'f1_difference'").set_index("class")
    before, after = _classes("acne_table1"), _classes("acne_table2")
    np.testing.assert_array_equal(f1.loc[CLASSES, A], before["f1"])
    np.testing.assert_array_equal(f1.loc[CLASSES, B], after["f1"])
    np.testing.assert_allclose(
        change.loc[CLASSES, "value"], after["f1"] - before["f1"], atol=1e-12
    )


@pytest.mark.parametrize("name", ["acne_table1", "acne_table2"])
def test_f1_follows_from_precision_and_recall(name):
    table = _classes(name)
    p, r = table["precision"], table["recall"]

    def f1(p, r):
        return 2 * p * r / (p + r)

    # F1 grows with both, so their rounding bounds it.
    assert (f1(p - 0.005, r - 0.005) <= table["f1"] + 0.005).all()
    assert (f1(p + 0.005, r + 0.005) >= table["f1"] - 0.005).all()


def test_macro_f1_of_the_tables_is_that_of_the_text():
    for name, method, exact in (
        ("acne_table1", A, 0.784),
        ("acne_table2", B, 0.85),
    ):
        macro = _classes(name)["f1"].mean()
        assert macro == pytest.approx(exact)
        assert macro == pytest.approx(_text("macro_f1", method), abs=0.005)


def test_accuracies_of_the_tables_are_those_of_the_text():
    for name, method in (("acne_table1", A), ("acne_table2", B)):
        row = _read(name).query("metric == 'accuracy'")
        assert row["value"].item() == _text("accuracy", method)


def test_table_1_accuracy_does_not_follow_from_its_recalls():
    recalls = _classes("acne_table1")["recall"]
    implied = rd.accuracy_from_recalls(recalls, PUBLISHED_TEST)
    assert implied == pytest.approx(0.784, abs=5e-4)
    # Both may be off by half a unit, and 0.80 is further away than that,
    # on the published test part and on a stratified part of any size.
    for counts in (PUBLISHED_TEST, PUBLIC):
        implied = rd.accuracy_from_recalls(recalls, counts)
        assert _text("accuracy", A) - implied > 0.01
    recalls = _classes("acne_table2")["recall"]
    implied = rd.accuracy_from_recalls(recalls, PUBLISHED_TEST)
    assert abs(_text("accuracy", B) - implied) < 0.01


def test_printed_errors_do_not_fit_a_tenth_of_the_set():
    """All four error counts need more pictures than 10 % of a class."""
    recalls = {A: _classes("acne_table1"), B: _classes("acne_table2")}
    for method, name in product((A, B), ("Papules", "Blackheads")):
        recall = recalls[method].loc[name, "recall"]
        errors = int(_text("errors_as_Pustules", method, name))
        position = CLASSES.index(name)
        sizes = rd.sizes_that_fit(recall, errors, largest=300)
        tenth = round(PUBLIC[position] / 10)
        assert tenth not in sizes
        assert PUBLISHED_TEST[position] in sizes
        assert round(PUBLIC[position] / 5) in sizes


def test_whiteheads_recall_does_not_fit_the_published_test_part():
    # 55 of 57 print as 0.96 and 56 as 0.98; 58 of 60, a fifth of the
    # class, and 29 of 30, a tenth, print as 0.97.
    recall = _classes("acne_table1").loc["Whiteheads", "recall"]
    assert recall == _classes("acne_table2").loc["Whiteheads", "recall"]
    assert not rd.fits_rounding(recall, 57)
    assert rd.possible_hits(recall, 60).tolist() == [58]
    assert rd.possible_hits(recall, 30).tolist() == [29]


def test_pareto_holds_for_f1_and_recall_but_not_for_precision():
    table = ev.pareto(_classes("acne_table1"), _classes("acne_table2"))
    table = table.set_index("metric")
    assert table["improvement"].to_dict() == {
        "f1": True,
        "precision": False,
        "recall": True,
    }
    assert table.loc["precision", "losers"] == "Blackheads"
    assert table.loc["recall", "same"] == 2


@pytest.mark.parametrize(
    ("recall", "n", "hits"),
    [
        (0.70, 103, [72]),
        (0.70, 202, [141, 142]),
        (0.12, 8, [1]),
        (0.13, 8, [1]),  # 1/8 is a tie: either way
        (0.15, 8, []),
        (1.00, 3, [3]),
        (0.00, 3, [0]),
    ],
)
def test_possible_hits_by_hand(recall, n, hits):
    assert rd.possible_hits(recall, n).tolist() == hits
    assert rd.fits_rounding(recall, n) == bool(hits)
    errors = rd.possible_errors(recall, n).tolist()
    assert errors == [n - h for h in reversed(hits)]


def test_sizes_that_fit_by_hand():
    # Half right and at least 2 wrong: 2 of 4, 3 of 6 …, never an odd size
    # as small as these.
    assert rd.sizes_that_fit(0.5, 2, 9).tolist() == [4, 6, 8]


def test_bad_counts_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        rd.possible_hits(0.5, 0)
    with pytest.raises(ValueError, match="one recall and one count"):
        rd.accuracy_from_recalls([0.5], [1, 2])
