"""The paper's head, and what a network's BatchNorm does in training."""

import keras
import numpy as np
import pytest

from helpers.models.layers import (
    build_classifier,
    freeze_batch_normalization,
    set_batch_normalization_momentum,
)


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
    for number in (0, 2):  # the kernels
        np.testing.assert_array_equal(first[number], same[number])
        assert not np.array_equal(first[number], new[number])


@pytest.fixture
def nested():
    normal = keras.layers.BatchNormalization()
    inner = keras.Sequential([keras.Input((3,)), normal])
    return normal, keras.Sequential([inner, keras.layers.Dense(1)])


def test_frozen_batch_normalization_stays_under_fit(nested):
    normal, model = nested
    freeze_batch_normalization(model)
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(5, 1, (32, 3))
    model.fit(x, np.zeros((32, 1)), verbose=0)
    np.testing.assert_array_equal(normal.moving_mean, np.zeros(3))
    assert model.layers[-1].trainable


def test_momentum_is_set_in_nested_models_too(nested):
    normal, model = nested
    set_batch_normalization_momentum(model, 0.9)
    assert normal.momentum == 0.9
