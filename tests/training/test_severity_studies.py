"""Intervals of persons and seeds."""

import numpy as np

from helpers.evaluation import accuracy_from, bootstrap, differences
from helpers.training.severity_studies import (
    Scored,
)

RNG = np.random.default_rng(0)
TRUTH = np.repeat([0, 1], 50)
A = np.where(RNG.random((3, 100)) < 0.7, TRUTH, 1 - TRUTH)
B = np.where(RNG.random((3, 100)) < 0.9, TRUTH, 1 - TRUTH)


def test_scored_is_the_bootstrap_over_persons_and_seeds():
    fives = np.arange(100) // 5
    scored = Scored(TRUTH, fives)
    how = {"metric": accuracy_from, "groups": fives}
    how |= {"within_classes": False, "over_seeds": True}
    row = bootstrap(TRUTH, {"a": A}, **how).loc[0]
    expected = [row[k] for k in ("mean", "low", "high", "half_width")]
    assert list(scored.score(A, accuracy_from)) == expected
    row = differences(TRUTH, {"a": A, "b": B}, "a", **how).loc[0]
    expected = [row[k] for k in ("delta", "low", "high", "half_width")]
    assert list(scored.gain(A, B, accuracy_from)) == expected
