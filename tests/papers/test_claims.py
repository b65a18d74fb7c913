"""What intervals and rounded numbers allow to say."""

import pandas as pd
import pytest

from helpers.papers import (
    fits_rounding,
    in_words,
    interval,
    possible_hits,
    read_claims,
)


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
    assert possible_hits(recall, n).tolist() == hits
    assert fits_rounding(recall, n) == bool(hits)


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        possible_hits(0.5, 0)


def test_what_printed_numbers_decide_is_told_by_paper():
    table = read_claims("audit_claims")
    assert table.index.is_unique and len(table) == 40
    assert set(table["paper"]) == {"acne", "CEFL", "loss balance", "red cells"}
    worked_out = table[["found", "verdict"]] == ""
    assert (worked_out["found"] == worked_out["verdict"]).all()
    assert (table.drop(columns=worked_out) != "").all(axis=None)


def test_claims_of_the_web_answer_have_a_number_each():
    table = read_claims("severity_claims")
    assert table.index.is_unique and (table != "").all(axis=None)
    parts = {"diagnosis", *(f"example {n}" for n in (1, 2, 3))}
    assert set(table["part"]) == parts


ROW = {"method": "weighted_cross_entropy", "reference": "A", "delta": 0.02}


@pytest.mark.parametrize(
    ("low", "high", "end"),
    [
        (0.01, 0.03, "[+0.010, +0.030] F1: higher."),
        (-0.03, -0.01, "[−0.030, −0.010] F1: lower."),
        (-0.01, 0.03, "[−0.010, +0.030] F1: no difference can be told."),
        (float("nan"), 0.03, "F1: too few groups for an interval."),
    ],
)
def test_verdict_follows_the_interval(low, high, end):
    table = pd.DataFrame([ROW | {"low": low, "high": high}])
    (said,) = in_words(table, "F1")
    assert said == f"B: class-weighted − A = +0.020 {end}"


def test_names_and_the_split():
    table = pd.DataFrame(
        [ROW | {"split": "random", "low": 0.01, "high": 0.04}]
    )
    names = {"weighted_cross_entropy": "weighted"}
    (said,) = in_words(table, "F1", names)
    assert said.startswith("weighted − A, random = +0.020 [+0.010, +0.040]")


def test_a_number_and_its_interval():
    assert interval(-0.006, -0.035, 0.029) == "−0.006 [−0.035, +0.029]"
    assert interval(0, -1.25, 1, decimals=1) == "+0.0 [−1.2, +1.0]"
    assert interval(0.02, float("nan"), 1) == "+0.020 [no interval]"
