"""Residual networks: sizes, BatchNorm, padding, initial weights."""

import keras
import numpy as np
import pytest

from helpers.models.resnet import (
    residual_network,
    resnet18,
    resnet18_cifar,
    resnet20,
    resnet32,
    resnet34,
    small_resnet,
)


def trainable(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


def convolutions(model):
    return [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]


@pytest.mark.parametrize(
    ("build", "n_classes", "side", "size", "sides"),
    [
        (resnet18_cifar, 10, 32, 11_173_962, (32, 16, 8, 4)),
        (resnet18, 1000, 224, 11_689_512, (56, 28, 14, 7)),
        (resnet34, 1000, 224, 21_797_672, (56, 28, 14, 7)),
        (small_resnet, 10, 8, 20_282, (4, 2)),
        (resnet20, 10, 32, 269_722, (32, 16, 8)),
        (resnet32, 10, 32, 464_154, (32, 16, 8)),
    ],
)
def test_sizes_are_the_standard_ones(build, n_classes, side, size, sides):
    model = build(n_classes, (side, side, 3))
    assert trainable(model) == size
    assert model.output_shape == (None, n_classes)
    norms = [x for x in model.layers if hasattr(x, "moving_mean")]
    assert len(norms) == len(convolutions(model))
    assert {(x.momentum, x.epsilon) for x in norms} == {(0.9, 1e-5)}
    assert not any(x.use_bias for x in convolutions(model))
    added = [x for x in model.layers if isinstance(x, keras.layers.Add)]
    ends = {x.output.shape[-1]: x.output.shape[1] for x in added}
    assert tuple(ends.values()) == sides
    assert max(ends) == min(ends) * 2 ** (len(sides) - 1)


def test_strided_convolutions_pad_both_sides():
    """Among ones, a sum over 3 x 3 shows where zeros came in."""
    model = residual_network(3, (8, 8, 1), stages=((1, 1, 2),))
    places = [type(x).__name__ for x in model.layers]
    padding = model.layers[places.index("ZeroPadding2D")]
    convolution = convolutions(model)[1]
    convolution.set_weights([np.ones((3, 3, 1, 1))])
    sums = convolution(padding(np.ones((1, 8, 8, 1), "float32")))
    sums = keras.ops.convert_to_numpy(sums)[0, :, :, 0]
    np.testing.assert_array_equal(sums[0], [4, 6, 6, 6])
    np.testing.assert_array_equal(sums[1:], [[6, 9, 9, 9]] * 3)


def test_a_shortcut_without_weights_pads_channels():
    """Every second pixel, with zeros before and behind its channels."""
    model = residual_network(
        3, (4, 4, 1), stages=((2, 1, 1), (4, 1, 2)), projection=False
    )
    pads = [x for x in model.operations if type(x).__name__ == "Pad"]
    assert len(pads) == 1 and len(convolutions(model)) == 5
    whole = keras.Model(model.input, [pads[0].input, pads[0].output])
    taken, padded = whole.predict(np.ones((1, 4, 4, 1)), verbose=0)
    assert taken.shape == (1, 2, 2, 2) and padded.shape == (1, 2, 2, 4)
    np.testing.assert_array_equal(padded[..., 1:3], taken)
    assert not padded[..., [0, 3]].any()


def test_pixels_are_normalised_inside():
    model = residual_network(
        2,
        (8, 8, 3),
        stages=((4, 1, 1),),
        pixels=((10, 20, 30), (1, 2, 4)),
    )
    normalise = keras.Model(model.input, model.get_layer("normalise").output)
    pixel = np.broadcast_to(np.float32([11, 24, 42]), (1, 8, 8, 3))
    out = normalise.predict(pixel, verbose=0)
    np.testing.assert_allclose(out[0, 0, 0], [1, 2, 3], rtol=1e-5)


def test_initial_weights_follow_from_the_seed():
    first, again, other = (
        small_resnet(10, (8, 8, 3), seed).get_weights() for seed in (1, 1, 2)
    )
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    kernels = [w for w in first if w.ndim == 4]
    same = [w for w in other if w.ndim == 4]
    assert all(
        np.abs(a - b).max() > 0 for a, b in zip(kernels, same, strict=True)
    )
    alike = [w for w in kernels if w.shape == (3, 3, 16, 16)]
    assert len(alike) == 2
    assert np.abs(alike[0] - alike[1]).max() > 0


def test_initial_standard_deviation_is_he_normals():
    model = resnet18_cifar(10, (32, 32, 3))
    for layer in convolutions(model)[3:]:
        kernel = layer.get_weights()[0]
        expected = np.sqrt(2 / np.prod(kernel.shape[:3]))
        assert kernel.std() == pytest.approx(expected, rel=0.03)
    kernel, bias = model.layers[-1].get_weights()
    bound = 1 / np.sqrt(512)
    assert 0.95 * bound < np.abs(kernel).max() <= bound
    assert not bias.any()
