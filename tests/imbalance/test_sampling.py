"""Draws of given counts: exact, nested, repeatable, refused where empty."""

import numpy as np
import pytest

from helpers.data.digits import load_digits, long_tailed
from helpers.imbalance import sampling
from helpers.imbalance.counts import class_counts, power_law_counts

LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], 100))


def test_subsample_has_the_counts():
    taken = sampling.subsample(LABELS, [5, 0, 100], seed=1)
    assert class_counts(LABELS[taken], 3).tolist() == [5, 0, 100]
    assert (np.diff(taken) > 0).all() and taken.dtype == np.int64


def test_subsample_is_seeded():
    def draw(seed):
        return sampling.subsample(LABELS, [10, 10, 10], seed).tolist()

    assert draw(1) == draw(1) != draw(2)


def test_subsample_is_nested():
    large = sampling.subsample(LABELS, [9, 40, 50], seed=3)
    small = sampling.subsample(LABELS, [9, 7, 50], seed=3)
    assert set(small) < set(large)


def test_subsample_is_drawn_not_cut_off():
    # Each picture is as likely as another, the first as the last.
    labels = np.zeros(20, int)
    seen = [sampling.subsample(labels, [5], seed) for seed in range(400)]
    often = np.bincount(np.concatenate(seen), minlength=20)
    assert often.min() > 60 and often.max() < 140


def test_classes_are_drawn_independently():
    # The same generator for each class would take the same places of all.
    labels = np.repeat([0, 1], 50)
    taken = sampling.subsample(labels, [10, 10], seed=0)
    assert set(taken[:10]) != set(taken[10:] - 50)


def test_subsample_asks_for_too_many():
    with pytest.raises(ValueError, match="101 of class 1 asked, it has 100"):
        sampling.subsample(LABELS, [5, 101, 100], seed=1)


def test_long_tail():
    tail = sampling.long_tail(LABELS, 3, rho=30, seed=0)
    # ⌊100 · 30^-1⌋, ⌊100 · 30^-½⌋, 100
    assert tail.counts.tolist() == [3, 18, 100]
    assert class_counts(LABELS[tail.indices], 3).tolist() == [3, 18, 100]
    assert tail.achieved_rho == pytest.approx(100 / 3)
    assert "30 asked, 33.33 achieved: 3, 18, 100" in repr(tail)
    larger = sampling.long_tail(LABELS, 3, rho=60, seed=0)
    assert set(larger.indices) < set(tail.indices)


def test_long_tail_takes_the_smallest_class_as_largest():
    labels = np.repeat([0, 1, 2], [80, 20, 50])
    tail = sampling.long_tail(labels, 3, rho=4, seed=0)
    assert tail.counts.tolist() == [5, 10, 20]
    other = sampling.long_tail(labels, 3, rho=4, seed=0, largest=40)
    assert other.counts.tolist() == [10, 20, 40]
    with pytest.raises(ValueError, match="25 of class 1 asked, it has 20"):
        sampling.long_tail(labels, 3, rho=4, seed=0, largest=50)


def test_long_tail_leaves_no_class_empty():
    with pytest.raises(ValueError, match="largest feasible ρ is 100"):
        sampling.long_tail(LABELS, 3, rho=101, seed=0)
    assert sampling.long_tail(LABELS, 3, rho=100, seed=0).counts[0] == 1


def test_hold_out():
    rest, test = sampling.hold_out(LABELS, 3, per_class=30, seed=5)
    assert class_counts(LABELS[test], 3).tolist() == [30, 30, 30]
    assert sorted([*rest, *test]) == list(range(300))


@pytest.mark.parametrize("per_class", [0, 100, 101])
def test_hold_out_leaves_something(per_class):
    with pytest.raises(ValueError, match="per_class.*expected 1 to 99"):
        sampling.hold_out(LABELS, 3, per_class, seed=5)


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


def test_resample_knows_two_ways():
    with pytest.raises(ValueError, match="how: expected over or under"):
        sampling.resample(LABELS, "smote", seed=0)


def test_long_tailed_digits():
    labels = load_digits(8).labels
    parts = {rho: long_tailed(labels, rho, seed=0) for rho in (1, 10, 50)}
    for rho, (train, test) in parts.items():
        assert class_counts(labels[test], 10).tolist() == [30] * 10
        counts = class_counts(labels[train.indices], 10)
        assert counts.tolist() == power_law_counts(144, 10, rho).tolist()
        assert not set(train.indices) & set(test)
        assert np.array_equal(test, parts[1][1])
    assert set(parts[50][0].indices) < set(parts[10][0].indices)
    assert parts[50][0].achieved_rho == 72
    other = long_tailed(labels, 10, seed=1)
    assert set(other[1]) != set(parts[10][1])
    with pytest.raises(ValueError, match="largest feasible ρ is 144"):
        long_tailed(labels, 200, seed=0)
