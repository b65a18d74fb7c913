"""Counts, ratio and eq. (1) against hand-worked numbers and scikit-learn."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from helpers.imbalance import counts as imbalance


def test_counts_include_absent_classes():
    counts = imbalance.class_counts(np.array([0, 2, 2]), 4)
    assert counts.tolist() == [1, 0, 2, 0]
    assert counts.dtype == np.int64


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0], [0.0, 1.0], [[0], [1]]])
def test_counts_refuse_what_is_no_label(labels):
    with pytest.raises(ValueError, match="labels"):
        imbalance.class_counts(np.array(labels), 3)


def test_ratio():
    assert imbalance.imbalance_ratio([280, 100, 50]) == 5.6


def test_weights_by_hand():
    # N = 12, C = 3: 12 / (3 n).
    weights = imbalance.balanced_weights([8, 2, 2])
    np.testing.assert_allclose(weights, [0.5, 2.0, 2.0])


def test_weights_equal_scikit_learn_and_average_one_over_samples():
    counts = np.array([1240, 1030, 1032, 1006, 299])
    labels = np.repeat(np.arange(5), counts)
    theirs = compute_class_weight("balanced", classes=np.arange(5), y=labels)
    ours = imbalance.balanced_weights(counts)
    np.testing.assert_allclose(ours, theirs)
    assert ours[labels].mean() == pytest.approx(1.0)
    assert ours.mean() > 1.2


def test_weights_of_several_training_parts():
    parts = np.array([[8, 2, 2], [4, 4, 4]])
    each = [imbalance.balanced_weights(counts) for counts in parts]
    np.testing.assert_allclose(imbalance.balanced_weights(parts), each)


@pytest.mark.parametrize(
    "function", [imbalance.imbalance_ratio, imbalance.balanced_weights]
)
@pytest.mark.parametrize("counts", [[3, 0, 1], [], 5])
def test_empty_classes_are_an_error(function, counts):
    with pytest.raises(ValueError, match="counts"):
        function(counts)


def test_ratio_is_of_one_data_set():
    with pytest.raises(ValueError, match="vector"):
        imbalance.imbalance_ratio([[1, 2], [3, 4]])


def test_effective_number_by_hand():
    # Effective numbers 1 and 1.5: weights in the ratio 3 : 2, sum 2.
    weights = imbalance.effective_number_weights([1, 2], beta=0.5)
    np.testing.assert_allclose(weights, [1.2, 0.8])


def test_effective_number_is_the_sum_of_a_geometric_series():
    counts, beta = np.array([3, 40, 700]), 0.99
    numbers = [np.sum(beta ** np.arange(n)) for n in counts]
    weights = imbalance.effective_number_weights(counts, beta)
    np.testing.assert_allclose(weights * numbers, weights[0] * numbers[0])
    assert weights.sum() == pytest.approx(3)


def test_effective_number_limits():
    counts = np.array([10, 100, 1000])
    np.testing.assert_allclose(
        imbalance.effective_number_weights(counts, 0), [1, 1, 1]
    )
    np.testing.assert_allclose(
        imbalance.effective_number_weights(counts, 1 - 1e-9),
        3 / counts / (1 / counts).sum(),
        rtol=1e-5,
    )


def test_effective_number_of_several_training_parts():
    parts = np.array([[8, 2, 2], [4, 4, 4]])
    each = [imbalance.effective_number_weights(c, 0.9) for c in parts]
    np.testing.assert_allclose(
        imbalance.effective_number_weights(parts, 0.9), each
    )


@pytest.mark.parametrize("beta", [-0.1, 1, 1.5, float("nan")])
def test_effective_number_refuses_other_betas(beta):
    with pytest.raises(ValueError, match="beta"):
        imbalance.effective_number_weights([1, 2], beta)


def test_effective_number_refuses_empty_classes():
    with pytest.raises(ValueError, match=r"class \[1\] has no picture"):
        imbalance.effective_number_weights([3, 0], 0.9)


def test_power_law_gives_the_paper_s_example():
    assert imbalance.power_law_counts(5000, 10, 10).tolist() == [
        *(500, 645, 834, 1077, 1391, 1796, 2320, 2997, 3871, 5000)
    ]


@pytest.mark.parametrize("rho", [1, 10, 20, 50, 100, 200, 500])
def test_power_law_reaches_both_ends(rho):
    ten = imbalance.power_law_counts(5000, 10, rho)
    hundred = imbalance.power_law_counts(500, 100, rho)
    assert (ten[0], ten[-1]) == (5000 // rho, 5000)
    assert (hundred[0], hundred[-1]) == (500 // rho, 500)
    assert (np.diff(ten) >= 0).all() and (np.diff(hundred) >= 0).all()


def test_power_law_is_not_one_short_by_rounding():
    assert imbalance.power_law_counts(49, 3, 49).tolist() == [1, 7, 49]
    assert imbalance.power_law_counts(8, 4, 8).tolist() == [1, 2, 4, 8]


def test_power_law_never_grows_with_rho():
    rhos = np.linspace(1, 144, 500)
    counts = [imbalance.power_law_counts(144, 10, rho) for rho in rhos]
    assert (np.diff(counts, axis=0) <= 0).all()


def test_power_law_leaves_no_class_empty():
    assert imbalance.power_law_counts(144, 10, 144)[0] == 1
    with pytest.raises(ValueError, match="rho: 144.5.*feasible ρ is 144"):
        imbalance.power_law_counts(144, 10, 144.5)


@pytest.mark.parametrize(
    ("n_classes", "rho", "told"),
    [(1, 2, "n_classes"), (10, 0.5, "rho"), (10, float("nan"), "rho")],
)
def test_power_law_refuses(n_classes, rho, told):
    with pytest.raises(ValueError, match=told):
        imbalance.power_law_counts(100, n_classes, rho)


def test_thirds():
    groups = imbalance.head_medium_tail([5, 90, 1, 40, 7, 60, 30])
    assert groups.tolist() == [
        *("tail", "head", "tail", "medium", "medium", "head", "medium")
    ]
    ten = imbalance.head_medium_tail(imbalance.power_law_counts(50, 10, 50))
    assert ten.tolist() == ["tail"] * 3 + ["medium"] * 4 + ["head"] * 3


def test_thirds_of_equal_classes_go_by_index():
    groups = imbalance.head_medium_tail([9] + [5] * 98)
    assert groups.tolist() == (
        ["head"] + ["tail"] * 33 + ["medium"] * 33 + ["head"] * 32
    )


@pytest.mark.parametrize("counts", [[1, 2], [4, 4, 4], [0, 1, 2], [[1, 2, 3]]])
def test_thirds_need_three_unequal_classes(counts):
    with pytest.raises(ValueError, match="counts"):
        imbalance.head_medium_tail(counts)


PART = np.array([7, 335, 14, 100, 700, 698, 139, 28])


def test_scaled_counts_keep_their_proportions():
    scaled = imbalance.scaled_counts(PART, np.full(8, 140))
    # A fifth of each; 7 / 5 and 14 / 5 become 2 and 3.
    assert scaled.tolist() == [2, 67, 3, 20, 140, 140, 28, 6]
    assert scaled.dtype == np.int64


def test_scaled_counts_of_the_docstring():
    part1 = [100, 400, 200, 700, 50, 689, 423, 17, 10]
    assert imbalance.scaled_counts(part1, [100] * 9).tolist() == [
        *(14, 57, 29, 100, 7, 98, 60, 2, 2)
    ]


def test_enough_pictures_scale_nothing():
    assert imbalance.scaled_counts(PART, PART).tolist() == PART.tolist()
    assert imbalance.scaled_counts(PART, 9 * PART).tolist() == PART.tolist()


def test_the_scarcest_class_sets_the_scale():
    """Never more than there is, in whichever class it is scarce."""
    for scarce in range(8):
        available = np.full(8, 1000)
        available[scarce] = 3
        scaled = imbalance.scaled_counts(PART, available)
        assert (scaled <= available).all() and scaled.min() >= 2
        factor = 3 / PART[scarce]
        np.testing.assert_allclose(scaled, PART * factor, rtol=0, atol=2)


@pytest.mark.parametrize(
    ("counts", "available", "told"),
    [
        (PART, [5] * 7, "as many classes"),
        (PART, [9] * 7 + [1], "class 7 has 1"),
        ([5, 0], [5, 5], "no picture"),
    ],
)
def test_scaled_counts_refuse(counts, available, told):
    with pytest.raises(ValueError, match=told):
        imbalance.scaled_counts(counts, available)


def test_over_sampling_factor():
    assert imbalance.over_sampling_factor([8, 2, 2]) == 2
    assert imbalance.over_sampling_factor([5, 5]) == 1
    assert imbalance.over_sampling_factor(PART) == 8 * 700 / 2021
