"""Pairs of circles and cells, the scores that follow, and the causes."""

import numpy as np
import pandas as pd
import pytest

from helpers.evaluation.detection import compare, overlapped, scores

SHAPE = (100, 200)


def circles(*rows):
    return pd.DataFrame(rows, columns=["x", "y", "radius"], dtype=float)


CELLS = circles((30, 50, 10), (80, 50, 10), (92, 50, 10), (195, 50, 10))


def test_perfect_circles():
    result = compare(CELLS, CELLS.assign(label="a"), SHAPE)
    assert result.found["hit"].all() and result.cells["hit"].all()
    assert (result.found["distance"] == 0).all()
    assert set(result.found["cause"]) == {""} == set(result.cells["cause"])
    assert list(result.cells["label"]) == ["a"] * 4
    assert scores([result])[["precision", "recall", "f1"]].tolist() == [1] * 3


def test_scores_by_hand():
    found = circles((33, 54, 12), (150, 20, 10))
    result = compare(found, CELLS, SHAPE)
    assert result.found["hit"].tolist() == [True, False]
    assert result.found["cell"].tolist() == [0, -1]
    assert result.found.loc[0, ["distance", "grown"]].tolist() == [5, 2]
    expected = {"cells": 4, "circles": 2, "precision": 1 / 2, "recall": 1 / 4}
    expected |= {"f1": 2 / 6, "centre_error_px": 5, "radius_error_px": 2}
    assert scores([result]).to_dict() == expected


@pytest.mark.parametrize(
    ("away", "tolerance", "hit"),
    [(10.0, 0.5, True), (10.1, 0.5, False), (20, 1, True), (20.1, 1, False)],
)
def test_tolerance_counts_true_radii(away, tolerance, hit):
    # A found radius as large as the image changes nothing.
    found = circles((50 + away, 50, 90))
    cell = circles((50, 50, 20))
    result = compare(found, cell, SHAPE, tolerance=tolerance)
    assert result.found["hit"].item() is hit


def test_one_to_one_and_circles_are_pooled_not_photographs():
    twice = circles((30, 50, 10), (31, 50, 10))
    result = compare(twice, CELLS[:1], SHAPE)
    assert result.found["hit"].tolist() == [True, False]
    assert scores([result])["precision"] == 1 / 2
    pooled = scores([result, compare(CELLS, CELLS, SHAPE)])
    assert pooled["precision"] == 5 / 6 and pooled["recall"] == 1


def test_as_many_pairs_as_can_be_then_the_nearest():
    cells = circles((50, 50, 10), (55, 50, 10))
    # The first is 4.9 px from one cell and 5.02 px, too far, from the other.
    found = circles((52.4, 54.3, 10), (50.2, 50, 10))
    result = compare(found, cells, SHAPE)
    assert result.found["hit"].all()
    assert result.found["distance"].round(1).tolist() == [4.9, 4.8]
    # Of two full pairings the one with the smaller sum.
    found = circles((51, 50, 10), (54, 50, 10))
    result = compare(found, cells, SHAPE)
    assert result.found["distance"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("found", "cells", "expected"),
    [
        (circles(), CELLS, [np.nan, 0, 0]),
        (CELLS, circles(), [0, np.nan, 0]),
        (circles(), circles(), [np.nan] * 3),
    ],
)
def test_nothing_found_or_nothing_there(found, cells, expected):
    result = compare(found, cells, SHAPE)
    numbers = scores([result])[["precision", "recall", "f1"]]
    np.testing.assert_array_equal(numbers.astype(float), expected)
    assert (result.found["cause"] != "").all()


def test_causes_of_false_circles_and_missed_cells():
    distractors = circles((150, 50, 4), (130, 20, 10)).assign(
        kind=["platelet", "cut cell"]
    )
    found = circles(
        (152, 51, 10),  # on the platelet
        (5, 80, 10),  # passes the border
        (86, 62, 10),  # beside two cells that overlap
        (30, 66, 10),  # beside a lone cell
        (130, 20, 10),  # a cut cell is no distractor
        (161, 50, 10),  # a platelet is near, but not below its middle
    )
    result = compare(found, CELLS, SHAPE, distractors)
    causes = ["distractor", "border", "overlap", *["other"] * 3]
    assert result.found["cause"].tolist() == causes
    causes = ["other", "overlap", "overlap", "border"]
    assert compare(circles(), CELLS, SHAPE).cells["cause"].tolist() == causes


@pytest.mark.parametrize(
    ("circle", "cut"),
    [
        ((10, 50, 10), False),
        ((9.9, 50, 10), True),
        ((190, 50, 10), False),
        ((190.1, 50, 10), True),
        ((50, 90.1, 10), True),
        ((50, 9.9, 10), True),
    ],
)
def test_border(circle, cut):
    result = compare(circles(), circles(circle), SHAPE)
    assert (result.cells["cause"].item() == "border") is cut


def test_overlapped_counts_touching():
    assert overlapped(CELLS).tolist() == [False, True, True, False]
    touching = circles((10, 10, 5), (20, 10, 5), (30.1, 10, 5))
    assert overlapped(touching).tolist() == [True, True, False]
    assert overlapped(circles()).tolist() == []
