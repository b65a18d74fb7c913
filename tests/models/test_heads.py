"""The paper's head, and what is trained of a network."""

import keras
import numpy as np
import pytest

from helpers.models import build_classifier, unfreeze


def assert_same(weights, others):
    for a, b in zip(weights, others, strict=True):
        np.testing.assert_array_equal(a, b)


def test_head_is_the_papers_and_follows_from_its_seed():
    base = keras.Sequential([keras.Input((7,)), keras.layers.ReLU()])
    model, again, other = (
        build_classifier(base, 5, seed=seed) for seed in (1, 1, 2)
    )
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["Sequential", "Dense", "Dropout", "Dense"]
    assert model.layers[1].activation is keras.activations.relu
    assert model.output_shape == (None, 5)
    first, same, new = (m.get_weights() for m in (model, again, other))
    assert_same(first, same)
    for number in (0, 2):  # the kernels
        assert not np.array_equal(first[number], new[number])


@pytest.mark.parametrize("momentum", [None, 0.9])
def test_batch_normalization_is_frozen_or_forgets_as_asked(momentum):
    normal = keras.layers.BatchNormalization()
    inner = keras.Sequential([keras.Input((3,)), normal])
    model = keras.Sequential([inner, keras.layers.Dense(1)])
    model.trainable = False
    unfreeze(model, momentum)
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(5, 1, (32, 3))
    model.fit(x, np.zeros((32, 1)), verbose=0)
    moved = 0 if momentum is None else 0.1 * x.mean(axis=0)
    np.testing.assert_allclose(normal.moving_mean, moved + np.zeros(3), 1e-4)
    assert model.layers[-1].trainable
