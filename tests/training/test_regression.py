"""Softmax regression by hand against Keras, and what it notes."""

import keras
import numpy as np
import pytest
from scipy.special import log_softmax

from helpers.methods.registry import METHODS
from helpers.training.regression import train_by_hand


@pytest.fixture(scope="module")
def study():
    generator = np.random.default_rng(0)
    labels = generator.choice(3, 120, p=[0.7, 0.2, 0.1])
    x = generator.normal(size=(3, 6))[labels] + generator.normal(size=(120, 6))
    return x, labels, generator.permutation(120).reshape(5, 24)


def plain(labels, losses):
    return np.ones(len(labels))


def by_counts(labels, losses):
    counts = np.bincount(labels)
    return len(labels) / (counts > 0).sum() / counts[labels]


@pytest.mark.parametrize(
    ("method", "weigh"),
    [("cross_entropy", plain), ("loss_balance_counts", by_counts)],
)
def test_trains_as_keras_does(study, method, weigh):
    x, labels, batches = study
    dense = keras.layers.Dense(3, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((6,)), dense])
    model.compile(
        keras.optimizers.Adam(0.01),
        METHODS[method].loss(None),
        jit_compile=False,
    )
    for rows in batches:
        model.train_on_batch(x[rows], labels[rows])
    w, _ = train_by_hand(x, labels, batches, weigh, 3)
    np.testing.assert_allclose(w, model.get_weights()[0], atol=1e-4)
    assert np.abs(w).max() > 0.03


def test_totals_are_before_and_after_the_weights(study):
    x, labels, batches = study
    half, totals = train_by_hand(x, labels, batches[:4], by_counts, 3)
    _, whole = train_by_hand(x, labels, batches, by_counts, 3)
    np.testing.assert_array_equal(whole[:, :4], totals)
    assert whole.shape == (2, 5, 3)
    # What the last batch sees are the weights of the steps before it.
    rows = batches[4]
    y = labels[rows]
    own = -log_softmax(x[rows] @ half, axis=1)[np.arange(24), y]
    np.testing.assert_allclose(whole[0, 4], np.bincount(y, own, 3))
    after = np.bincount(y, by_counts(y, own) * own, 3)
    np.testing.assert_allclose(whole[1, 4], after)


def test_the_rate_is_that_of_the_first_step(study):
    """Adam's first step is the rate in each weight, whatever the gradient."""
    x, labels, batches = study
    w, _ = train_by_hand(x, labels, batches[:1], plain, 3, rate=0.5)
    np.testing.assert_allclose(np.abs(w), 0.5, rtol=1e-4)


def test_a_sure_hit_is_not_rounded_away():
    """Two pictures, one class each, far beyond where 1 - p is 0 in float64."""
    x, labels = np.eye(2) * 1000.0, np.array([0, 1])
    steps = np.tile([[0, 1]], (10, 1))
    w, totals = train_by_hand(x, labels, steps, plain, 2, rate=0.03)
    margin = 1000 * (w[0, 0] - w[0, 1])
    assert margin > 100
    assert 0 < totals[0, -1].max() < 1e-40
