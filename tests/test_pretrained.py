"""Keras' ResNets with their input scaling inside."""

import keras
import numpy as np
import pytest

from helpers.pretrained import pretrained_resnet

SHAPE = (32, 32, 3)


@pytest.fixture(scope="module")
def network():
    return pretrained_resnet(50, weights=None)(5, SHAPE, 3)


def test_pictures_are_scaled_as_the_weights_expect(network):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, *SHAPE)).astype("float32")
    # preprocess_input changes what it is given.
    scaled = keras.applications.resnet.preprocess_input(pictures.copy())
    features = network.get_layer("resnet50")(scaled)
    expected = network.layers[-1](features)
    np.testing.assert_allclose(
        network(pictures), expected, rtol=1e-4, atol=1e-4
    )
    assert network.output_shape == (None, 5)


def test_batch_normalization_forgets_as_in_the_paper(network):
    inner = network.get_layer("resnet50").layers
    kept = {x.momentum for x in inner if hasattr(x, "moving_mean")}
    assert kept == {0.9}


def test_the_seed_draws_the_last_layer():
    one, same, other = (
        pretrained_resnet(50, weights=None)(2, SHAPE, seed)
        for seed in (0, 0, 1)
    )
    last = [model.layers[-1].get_weights()[0] for model in (one, same, other)]
    np.testing.assert_array_equal(last[0], last[1])
    assert np.abs(last[0] - last[2]).max() > 0.01


def test_bad_input_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"depth: 18 not in \[50, 101\]"):
        pretrained_resnet(18)
    with pytest.raises(ValueError, match="gone.weights.h5"):
        missing = str(tmp_path / "gone.weights.h5")
        pretrained_resnet(101, missing)(2, SHAPE, 0)
