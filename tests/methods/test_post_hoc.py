"""Decision rules against their definitions and by exhaustive search."""

import itertools

import numpy as np
import pytest

from helpers.evaluation.metrics import confusion_matrix, macro_f1_from
from helpers.methods.post_hoc import prior_offsets, tuned_offsets


def macro_f1(labels, logits):
    table = confusion_matrix(labels, logits.argmax(axis=1), logits.shape[1])
    return macro_f1_from(table)


@pytest.fixture
def skewed():
    """Logits of three classes, shifted against the rare ones."""
    generator = np.random.default_rng(0)
    labels = generator.choice(3, 200, p=[0.8, 0.15, 0.05])
    logits = 1.5 * np.eye(3)[labels] + generator.normal(0, 1, (200, 3))
    return labels, logits + np.log([0.8, 0.15, 0.05])


def test_prior_offsets_divide_by_the_prior():
    docstring = [0.2877, 1.3863]
    np.testing.assert_allclose(prior_offsets([3, 1]), docstring, atol=5e-5)
    p, counts = np.array([0.7, 0.2, 0.1]), np.array([60, 30, 10])
    moved = np.exp(np.log(p) + prior_offsets(counts))
    np.testing.assert_allclose(moved, p / (counts / 100))
    np.testing.assert_allclose(
        prior_offsets(counts, 0.5), prior_offsets(counts) / 2
    )
    with pytest.raises(ValueError, match="counts"):
        prior_offsets([3, 0])


def test_threshold_moving_comes_near_the_best_of_a_grid(skewed):
    labels, logits = skewed
    best = max(
        macro_f1(labels, logits + [0, *pair])
        for pair in itertools.product(np.linspace(-3, 3, 25), repeat=2)
    )
    found = macro_f1(labels, logits + tuned_offsets(logits, labels))
    assert found > best - 0.02
    assert found > macro_f1(labels, logits) + 0.05


def test_threshold_moving_never_loses_on_its_own_samples():
    generator = np.random.default_rng(1)
    for _ in range(20):
        labels = generator.integers(4, size=30)
        logits = generator.normal(size=(30, 4))
        moved = logits + tuned_offsets(logits, labels)
        assert macro_f1(labels, moved) >= macro_f1(labels, logits)


def test_what_needs_no_moving_is_left_alone():
    labels = np.arange(60) % 3
    assert (tuned_offsets(9 * np.eye(3)[labels], labels) == 0).all()


def test_a_class_that_validation_lacks_is_no_obstacle(skewed):
    labels, logits = skewed
    logits = np.column_stack([logits, logits.min(axis=1) - 1])
    assert np.isfinite(tuned_offsets(logits, labels)).all()


@pytest.mark.parametrize("bad", [[0, 3], [0, -1], [0.0, 1.0], [[1, 0, 0]] * 2])
def test_threshold_moving_refuses_what_is_no_class_index(bad):
    with pytest.raises(ValueError, match="labels"):
        tuned_offsets(np.eye(3)[:2], bad)
