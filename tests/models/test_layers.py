"""The paper's head, and what a network's BatchNorm does in training."""

import keras
import numpy as np
import pytest

from helpers.models.backbones import backbone
from helpers.models.layers import (
    build_classifier,
    freeze_batch_normalization,
    set_batch_normalization_momentum,
)


@pytest.fixture(scope="module")
def base():
    return backbone("EfficientNetB1", "random", 32)


def test_head_is_the_papers(base):
    model = build_classifier(base, 5)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["Functional", "Dense", "Dropout", "Dense"]
    assert model.layers[1].activation is keras.activations.relu
    assert model.output_shape == (None, 5)
    assert base.output_shape == (None, 1280)


def test_same_seed_same_head(base):
    def head(seed):
        return build_classifier(base, 5, seed=seed).layers[1].get_weights()

    np.testing.assert_array_equal(head(1)[0], head(1)[0])
    assert not np.array_equal(head(1)[0], head(2)[0])


def test_frozen_batch_normalization_stays_under_fit():
    normal = keras.layers.BatchNormalization()
    inner = keras.Sequential([keras.Input((3,)), normal])
    model = keras.Sequential([inner, keras.layers.Dense(1)])
    freeze_batch_normalization(model)
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(5, 1, (32, 3))
    model.fit(x, np.zeros((32, 1)), verbose=0)
    np.testing.assert_array_equal(normal.moving_mean, np.zeros(3))
    assert model.layers[-1].trainable


def test_momentum_is_set_in_nested_models_too():
    normal = keras.layers.BatchNormalization()
    inner = keras.Sequential([keras.Input((3,)), normal])
    set_batch_normalization_momentum(
        keras.Sequential([inner, keras.layers.Dense(1)]), 0.9
    )
    assert normal.momentum == 0.9
