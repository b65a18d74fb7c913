"""Counts, weights and draws against hand-worked numbers and scikit-learn."""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.utils.class_weight import compute_class_weight

from helpers.imbalance import (
    balanced_weights,
    class_counts,
    effective_number_weights,
    head_medium_tail,
    hold_out,
    imbalance_ratio,
    long_tail,
    power_law_counts,
    resample,
    scaled_counts,
    subsample,
)

PART = np.array([7, 335, 14, 100, 700, 698, 139, 28])
WEIGHTS = [balanced_weights, partial(effective_number_weights, beta=0.9)]
PART_1 = [100, 400, 200, 700, 50, 689, 423, 17, 10]


def test_counts_include_absent_classes():
    counts = class_counts(np.array([0, 2, 2]), 4)
    assert counts.tolist() == [1, 0, 2, 0]
    assert counts.dtype == np.int64


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0], [0.0, 1.0], [[0], [1]]])
def test_counts_refuse_what_is_no_label(labels):
    with pytest.raises(ValueError, match="labels"):
        class_counts(np.array(labels), 3)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        # N = 12, C = 3: 12 / (3 n).
        (balanced_weights([8, 2, 2]), [0.5, 2.0, 2.0]),
        # Effective numbers 1 and 1.5: weights in the ratio 3 : 2, sum 2.
        (effective_number_weights([1, 2], beta=0.5), [1.2, 0.8]),
        (effective_number_weights([10, 100, 1000], 0), [1, 1, 1]),
        (imbalance_ratio([280, 100, 50]), 5.6),
    ],
)
def test_weights_by_hand(weights, expected):
    assert_allclose(weights, expected)


def test_weights_equal_scikit_learn_and_average_one_over_samples():
    counts = np.array([1240, 1030, 1032, 1006, 299])
    labels = np.repeat(np.arange(5), counts)
    theirs = compute_class_weight("balanced", classes=np.arange(5), y=labels)
    ours = balanced_weights(counts)
    assert_allclose(ours, theirs)
    assert ours[labels].mean() == pytest.approx(1.0)
    assert ours.mean() > 1.2


def test_weights_of_several_training_sets():
    sets = np.array([[8, 2, 2], [4, 4, 4]])
    for weights in WEIGHTS:
        assert_allclose(weights(sets), [weights(counts) for counts in sets])


def test_effective_number_is_the_sum_of_a_geometric_series():
    counts, beta = np.array([3, 40, 700]), 0.99
    numbers = [np.sum(beta ** np.arange(n)) for n in counts]
    weights = effective_number_weights(counts, beta)
    assert_allclose(weights * numbers, weights[0] * numbers[0])
    assert weights.sum() == pytest.approx(3)
    near_one = effective_number_weights(counts, 1 - 1e-9)
    assert_allclose(near_one, 3 / counts / (1 / counts).sum(), rtol=1e-5)


def test_power_law_gives_the_paper_s_example():
    assert power_law_counts(5000, 10, 10).tolist() == [
        *(500, 645, 834, 1077, 1391, 1796, 2320, 2997, 3871, 5000)
    ]


@pytest.mark.parametrize(("largest", "n_classes"), [(5000, 10), (500, 100)])
def test_power_law_reaches_both_ends(largest, n_classes):
    for rho in (1, 10, 50, 500):
        counts = power_law_counts(largest, n_classes, rho)
        assert (counts[0], counts[-1]) == (largest // rho, largest)
        assert (np.diff(counts) >= 0).all()
    # Not one short by rounding.
    assert power_law_counts(49, 3, 49).tolist() == [1, 7, 49]


def test_power_law_never_grows_with_rho():
    counts = [power_law_counts(144, 10, r) for r in np.linspace(1, 144, 500)]
    assert (np.diff(counts, axis=0) <= 0).all() and counts[-1][0] == 1


def test_thirds():
    groups = head_medium_tail([5, 90, 1, 40, 7, 60, 30])
    assert groups.tolist() == [
        *("tail", "head", "tail", "medium", "medium", "head", "medium")
    ]
    ten = head_medium_tail(power_law_counts(50, 10, 50))
    assert ten.tolist() == ["tail"] * 3 + ["medium"] * 4 + ["head"] * 3
    # Of equal classes the later one is the larger.
    many = head_medium_tail([9] + [5] * 98)
    assert many.tolist() == (
        ["head"] + ["tail"] * 33 + ["medium"] * 33 + ["head"] * 32
    )


@pytest.mark.parametrize(
    ("counts", "available", "expected"),
    [
        # A fifth of each; 7 / 5 and 14 / 5 become 2 and 3.
        (PART, np.full(8, 140), [2, 67, 3, 20, 140, 140, 28, 6]),
        (PART_1, [100] * 9, [14, 57, 29, 100, 7, 98, 60, 2, 2]),
        # Enough images scale nothing.
        (PART, PART, PART),
        (PART, 9 * PART, PART),
    ],
)
def test_scaled_counts_keep_their_proportions(counts, available, expected):
    scaled = scaled_counts(counts, available)
    assert scaled.tolist() == list(expected)
    assert scaled.dtype == np.int64


def test_the_scarcest_class_sets_the_scale():
    """Never more than there is, in whichever class it is scarce."""
    for scarce in range(8):
        available = np.full(8, 1000)
        available[scarce] = 3
        scaled = scaled_counts(PART, available)
        assert (scaled <= available).all() and scaled.min() >= 2
        assert_allclose(scaled, PART * 3 / PART[scarce], rtol=0, atol=2)


LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], 100))


def test_subsample_has_the_counts_and_is_nested():
    taken = subsample(LABELS, [5, 0, 100], seed=1)
    assert class_counts(LABELS[taken], 3).tolist() == [5, 0, 100]
    assert (np.diff(taken) > 0).all() and taken.dtype == np.int64
    other = subsample(LABELS, [5, 0, 100], seed=2)
    assert taken.tolist() != other.tolist()
    assert set(taken) < set(subsample(LABELS, [9, 40, 100], seed=1))


def test_subsample_is_random_not_cut_off():
    # Each image is as likely as another, the first as the last.
    labels = np.zeros(20, int)
    seen = [subsample(labels, [5], seed) for seed in range(400)]
    often = np.bincount(np.concatenate(seen), minlength=20)
    assert often.min() > 60 and often.max() < 140


def test_long_tail():
    tail = long_tail(LABELS, 3, rho=30, seed=0)
    # ⌊100 · 30^-1⌋, ⌊100 · 30^-½⌋, 100
    counts = class_counts(LABELS[tail], 3)
    assert counts.tolist() == [3, 18, 100]
    assert imbalance_ratio(counts) == pytest.approx(100 / 3)
    assert set(long_tail(LABELS, 3, rho=60, seed=0)) < set(tail)


@pytest.mark.parametrize(
    ("largest", "counts"), [(None, [5, 10, 20]), (40, [10, 20, 40])]
)
def test_long_tail_takes_the_smallest_class_as_largest(largest, counts):
    labels = np.repeat([0, 1, 2], [80, 20, 50])
    tail = long_tail(labels, 3, 4, seed=0, largest=largest)
    assert class_counts(labels[tail], 3).tolist() == counts


@pytest.mark.parametrize("per_class", [0, 30, 99])
def test_hold_out(per_class):
    rest, test = hold_out(LABELS, 3, per_class, seed=5)
    assert class_counts(LABELS[test], 3).tolist() == [per_class] * 3
    assert sorted([*rest, *test]) == list(range(300))


@pytest.mark.parametrize(("how", "each"), [("over", 50), ("under", 4)])
def test_resample(how, each):
    labels = np.random.default_rng(1).permutation(
        np.repeat([0, 1, 2], [50, 20, 4])
    )
    taken = resample(labels, how, seed=0)
    assert class_counts(labels[taken], 3).tolist() == [each] * 3
    if how == "over":
        assert set(taken) == set(range(74))
        # The largest class is not repeated.
        assert len(set(taken[labels[taken] == 0])) == 50
    else:
        assert len(set(taken)) == len(taken)
    assert taken.tolist() == resample(labels, how, seed=0).tolist()
    assert taken.tolist() != resample(labels, how, seed=1).tolist()


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (imbalance_ratio, ([3, 0, 1],), r"class \[1\] has no image"),
        (balanced_weights, ([3, 0, 1],), r"class \[1\] has no image"),
        (effective_number_weights, ([3, 0], 0.9), r"class \[1\] has no"),
        (effective_number_weights, ([1, 2], -0.1), "beta"),
        (effective_number_weights, ([1, 2], 1), "beta"),
        (effective_number_weights, ([1, 2], np.nan), "beta"),
        (power_law_counts, (144, 10, 144.5), "rho: 144.5.*feasible ρ is 144"),
        (power_law_counts, (100, 10, 0.5), "rho"),
        (power_law_counts, (100, 10, np.nan), "rho"),
        (head_medium_tail, ([1, 2],), "three classes"),
        (head_medium_tail, ([4, 4, 4],), "not all equally large"),
        (scaled_counts, ([5, 0], [5, 5]), "no image"),
        (subsample, (LABELS, [5, 101, 100], 0), "101 of class 1 asked"),
        (long_tail, (LABELS, 3, 101, 0), "largest feasible ρ is 100"),
        (long_tail, (LABELS, 3, 4, 0, 120), "120 of class 2 asked"),
        (hold_out, (LABELS, 3, -1, 0), "per_class.*expected 0 to 99"),
        (hold_out, (LABELS, 3, 100, 0), "per_class.*expected 0 to 99"),
        (resample, (LABELS, "smote", 0), "how: expected over or under"),
    ],
)
def test_refused(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)
