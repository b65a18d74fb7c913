"""Draws of given counts: exact, nested, repeatable, refused where empty."""

import numpy as np
import pytest

from helpers.imbalance import class_counts, imbalance_ratio, sampling

LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], 100))


def test_subsample_has_the_counts_and_is_nested():
    taken = sampling.subsample(LABELS, [5, 0, 100], seed=1)
    assert class_counts(LABELS[taken], 3).tolist() == [5, 0, 100]
    assert (np.diff(taken) > 0).all() and taken.dtype == np.int64
    other = sampling.subsample(LABELS, [5, 0, 100], seed=2)
    assert taken.tolist() != other.tolist()
    assert set(taken) < set(sampling.subsample(LABELS, [9, 40, 100], seed=1))


def test_subsample_is_random_not_cut_off():
    # Each image is as likely as another, the first as the last.
    labels = np.zeros(20, int)
    seen = [sampling.subsample(labels, [5], seed) for seed in range(400)]
    often = np.bincount(np.concatenate(seen), minlength=20)
    assert often.min() > 60 and often.max() < 140


def test_long_tail():
    tail = sampling.long_tail(LABELS, 3, rho=30, seed=0)
    # ⌊100 · 30^-1⌋, ⌊100 · 30^-½⌋, 100
    counts = class_counts(LABELS[tail], 3)
    assert counts.tolist() == [3, 18, 100]
    assert imbalance_ratio(counts) == pytest.approx(100 / 3)
    assert set(sampling.long_tail(LABELS, 3, rho=60, seed=0)) < set(tail)


@pytest.mark.parametrize(
    ("largest", "counts"), [(None, [5, 10, 20]), (40, [10, 20, 40])]
)
def test_long_tail_takes_the_smallest_class_as_largest(largest, counts):
    labels = np.repeat([0, 1, 2], [80, 20, 50])
    tail = sampling.long_tail(labels, 3, 4, seed=0, largest=largest)
    assert class_counts(labels[tail], 3).tolist() == counts


@pytest.mark.parametrize("per_class", [0, 30, 99])
def test_hold_out(per_class):
    rest, test = sampling.hold_out(LABELS, 3, per_class, seed=5)
    assert class_counts(LABELS[test], 3).tolist() == [per_class] * 3
    assert sorted([*rest, *test]) == list(range(300))


@pytest.mark.parametrize(("how", "each"), [("over", 50), ("under", 4)])
def test_resample(how, each):
    labels = np.random.default_rng(1).permutation(
        np.repeat([0, 1, 2], [50, 20, 4])
    )
    taken = sampling.resample(labels, how, seed=0)
    assert class_counts(labels[taken], 3).tolist() == [each] * 3
    if how == "over":
        assert set(taken) == set(range(74))
        # The largest class is not repeated.
        assert len(set(taken[labels[taken] == 0])) == 50
    else:
        assert len(set(taken)) == len(taken)
    assert taken.tolist() == sampling.resample(labels, how, seed=0).tolist()
    assert taken.tolist() != sampling.resample(labels, how, seed=1).tolist()


@pytest.mark.parametrize(
    ("function", "arguments", "told"),
    [
        ("subsample", ([5, 101, 100],), "101 of class 1 asked, it has 100"),
        ("long_tail", (3, 101), "largest feasible ρ is 100"),
        ("long_tail", (3, 4, 120), "120 of class 2 asked, it has 100"),
        ("hold_out", (3, -1), "per_class.*expected 0 to 99"),
        ("hold_out", (3, 100), "per_class.*expected 0 to 99"),
        ("resample", ("smote",), "how: expected over or under"),
    ],
)
def test_refused(function, arguments, told):
    largest = {"largest": arguments[2]} if len(arguments) == 3 else {}
    with pytest.raises(ValueError, match=told):
        getattr(sampling, function)(LABELS, *arguments[:2], seed=0, **largest)
