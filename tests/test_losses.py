"""Losses against closed forms, Keras and scikit-learn."""

import keras
import numpy as np
import pytest
from sklearn.metrics import log_loss

from helpers.imbalance import balanced_weights
from helpers.losses import CrossEntropy, WeightedCrossEntropy


@pytest.fixture
def batch():
    generator = np.random.default_rng(3)
    labels = generator.integers(5, size=64)
    return labels, generator.normal(0, 3, (64, 5)).astype("float32")


def log_softmax(logits):
    """Independent reference in float64."""
    logits = logits.astype("float64")
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def value(loss, labels, logits):
    return float(keras.ops.convert_to_numpy(loss(labels, logits)))


def test_the_docstrings_numbers():
    zeros = np.zeros((1, 2), "float32")
    assert value(CrossEntropy(), [1], zeros) == pytest.approx(np.log(2))
    weighted = WeightedCrossEntropy([0.5, 2.0])
    assert value(weighted, [1], zeros) == pytest.approx(2 * np.log(2))


def test_cross_entropy_is_sklearns_log_loss(batch):
    labels, logits = batch
    reference = log_loss(labels, np.exp(log_softmax(logits)), labels=range(5))
    assert value(CrossEntropy(), labels, logits) == pytest.approx(
        reference, rel=1e-6
    )


def test_weighted_divides_by_the_batch_size_not_by_the_weights(batch):
    labels, logits = batch
    weights = balanced_weights(np.bincount(labels, minlength=5))
    own = -log_softmax(logits)[np.arange(64), labels]
    expected = (weights[labels] * own).sum() / 64
    result = value(WeightedCrossEntropy(weights), labels, logits)
    assert result == pytest.approx(expected, rel=1e-6)


def test_weighted_trains_like_keras_class_weight(batch):
    labels, logits = batch
    weights = np.array([0.5, 2.0, 1.0, 3.0, 0.1])

    def trained(loss, class_weight):
        dense = keras.layers.Dense(5, kernel_initializer="ones")
        model = keras.Sequential([keras.Input((5,)), dense])
        model.compile(keras.optimizers.SGD(0.1), loss)
        model.fit(
            logits,
            labels,
            batch_size=64,
            class_weight=class_weight,
            verbose=0,
        )
        return model.get_weights()[0]

    plain = trained(
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        dict(enumerate(weights)),
    )
    ours = trained(WeightedCrossEntropy(weights), None)
    np.testing.assert_allclose(ours, plain, rtol=1e-5, atol=1e-6)
    assert np.abs(ours - 1).max() > 1e-3


def test_equal_weights_change_nothing(batch):
    labels, logits = batch
    ones = WeightedCrossEntropy(np.ones(5))
    assert value(ones, labels, logits) == pytest.approx(
        value(CrossEntropy(), labels, logits), rel=1e-6
    )


def test_weights_of_several_training_sets_broadcast(batch):
    labels, logits = batch
    both = np.array([[[1, 2, 3, 4, 5]], [[5, 4, 3, 2, 1]]], "float32")
    stacked = WeightedCrossEntropy(both).call(
        np.stack([labels, labels]), np.stack([logits, logits])
    )
    for row, weights in zip(stacked, both, strict=True):
        alone = WeightedCrossEntropy(weights[0]).call(labels, logits)
        np.testing.assert_allclose(row, alone, rtol=1e-6)


@pytest.mark.parametrize(
    "loss", [CrossEntropy(), WeightedCrossEntropy([1, 2])]
)
def test_finite_at_the_extremes(loss):
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]], "float32")
    right = value(loss, [0, 1], logits)
    wrong = value(loss, [1, 0], logits)
    assert right == 0
    assert np.isfinite(wrong)
    assert wrong >= 2e4


def test_survives_saving(batch):
    labels, logits = batch
    loss = WeightedCrossEntropy([0.5, 2.0, 1.0, 3.0, 0.1])
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert value(again, labels, logits) == value(loss, labels, logits)


@pytest.mark.parametrize("bad", [[1, -1], [1, np.nan], [1, np.inf]])
def test_impossible_weights_are_refused(bad):
    with pytest.raises(ValueError, match="class_weights"):
        WeightedCrossEntropy(bad)
