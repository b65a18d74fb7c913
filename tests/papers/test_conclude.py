"""A sentence says no more than its interval allows."""

import pandas as pd
import pytest

from helpers.papers import in_words

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
