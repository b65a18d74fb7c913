"""Stacked copies against the networks they are copies of."""

import keras
import numpy as np
import pytest

from helpers.methods.losses import COSINE_SCALE
from helpers.models.resnet import resnet18, small_resnet
from helpers.models.stacked import stack


def images(*shape):
    generator = np.random.default_rng(0)
    return generator.uniform(0, 255, shape).astype("float32")


def outcome(model, x, training=False):
    return keras.ops.convert_to_numpy(model(x, training=training))


@pytest.mark.parametrize("shared", [True, False])
def test_every_copy_is_its_network(shared):
    networks = [small_resnet(10, (8, 8, 3), seed) for seed in (0, 1)]
    stacked = stack(networks, [False] * 3, shared)
    x = images(2, 1 if shared else 3, 5, 8, 8, 3)
    for training in (True, False):  # the first moves BatchNorm's averages
        out = outcome(stacked, x, training)
        assert out.shape == (2, 3, 5, 10)
        for r, network in enumerate(networks):
            expected = outcome(network, x[r, 0], training)
            for m in range(3 if shared else 1):
                np.testing.assert_allclose(out[r, m], expected, atol=1e-4)
    assert np.abs(out[0] - out[1]).max() > 0.1
    if not shared:
        assert np.abs(out[:, 0] - out[:, 1]).max() > 0.1


def test_weights_are_the_networks_behind_two_axes():
    network = small_resnet(10, (8, 8, 3), 4)
    stacked = stack([network], [False] * 2)
    sizes = [w.shape[:2] for w in stacked.weights]
    assert set(sizes) == {(1, 2)}
    trainable = sum(np.prod(w.shape) for w in stacked.trainable_weights)
    assert trainable == 2 * 20_282
    for stacked_one, own in zip(
        stacked.get_weights(), network.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(stacked_one[0, 1].ravel(), own.ravel())


def test_a_cosine_classifier_knows_angles_only():
    network = small_resnet(10, (8, 8, 3), 0)
    stacked = stack([network], [False, True])
    features = keras.Model(network.input, network.layers[-2].output)
    x = images(1, 1, 5, 8, 8, 3)
    found = outcome(features, x[0, 0])
    kernel = network.layers[-1].get_weights()[0]
    cosines = (found @ kernel) / (
        np.linalg.norm(found, axis=1)[:, None] * np.linalg.norm(kernel, axis=0)
    )
    out = outcome(stacked, x)
    np.testing.assert_allclose(out[0, 1], COSINE_SCALE * cosines, atol=1e-3)
    np.testing.assert_allclose(out[0, 0], outcome(network, x[0, 0]), atol=1e-4)


def test_other_layers_are_refused():
    large = resnet18(3, (16, 16, 3))
    with pytest.raises(ValueError, match="MaxPooling2D"):
        stack([large], [False])
    inputs = keras.Input((8, 8, 1))
    biased = keras.layers.Conv2D(2, 3, padding="same")(inputs)
    pooled = keras.layers.GlobalAveragePooling2D()(biased)
    with pytest.raises(ValueError, match="not a plain square"):
        stack([keras.Model(inputs, keras.layers.Dense(2)(pooled))], [False])
