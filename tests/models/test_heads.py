"""The paper's head, and what is trained of a network."""

import keras
import numpy as np
import pytest

from helpers.models import head_layers, unfreeze


def test_head_is_the_papers_and_follows_from_its_seed():
    kinds = [keras.layers.Dense, keras.layers.Dropout, keras.layers.Dense]
    weights = []
    for seed in (1, 1, 2):
        head = head_layers(5, 128, 0.3, seed)
        assert [type(layer) for layer in head] == kinds
        assert head[0].activation is keras.activations.relu
        model = keras.Sequential([keras.Input((7,)), *head])
        assert model.output_shape == (None, 5)
        weights.append(model.get_weights())
    for first, same, other in list(zip(*weights, strict=True))[::2]:
        np.testing.assert_array_equal(first, same)
        assert not np.array_equal(first, other)


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
