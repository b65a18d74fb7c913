"""Counts, ratio and eq. (1) against hand-worked numbers and scikit-learn."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from helpers import imbalance


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
