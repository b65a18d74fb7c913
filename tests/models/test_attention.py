"""The gate, its controls and the small VGG."""

import keras
import numpy as np
import pytest

from helpers.models.attention import (
    POOLINGS,
    SpatialGate,
    attach,
    head_on_maps,
    small_base,
)
from helpers.models.backbones import backbone

SHAPE = (32, 32, 3)
GIVEN = np.random.default_rng(0).normal(size=(3, 4, 6, 8)).astype("float32")
MAPS = GIVEN.shape[1:]


def small_vgg(side, seed=0, pooling="average"):
    base = small_base((side, side, 3), seed)
    shape = base.output_shape[1:]
    return attach(base, head_on_maps(4, shape, seed, pooling, 32))


def numpy_of(tensor):
    return keras.ops.convert_to_numpy(tensor)


def assert_same(weights, others):
    for a, b in zip(weights, others, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_gate_is_the_formula():
    gate = SpatialGate(seed=1)
    found = numpy_of(gate(GIVEN))
    w1, b1, w2, b2 = gate.get_weights()
    b1 = b1 + np.linspace(-1, 1, 64)
    b2 = b2 + 0.5
    gate.set_weights([w1, b1, w2, b2])
    hidden = np.maximum(GIVEN @ w1[0, 0] + b1, 0)
    expected = 1 / (1 + np.exp(-(hidden @ w2[0, 0] + b2)))
    opened = numpy_of(gate.attention(GIVEN))
    np.testing.assert_allclose(opened, expected, rtol=1e-5)
    gated = GIVEN * expected
    np.testing.assert_allclose(
        numpy_of(gate(GIVEN)), gated, rtol=1e-4, atol=1e-6
    )
    assert np.abs(found - gated).max() > 0.01
    assert gate.count_params() == 8 * 64 + 129


def test_the_gate_adds_a_covariance():
    gate, control = SpatialGate(), SpatialGate(everywhere=True)
    control.build(GIVEN.shape)
    mean = (1, 2)
    gated = numpy_of(gate(GIVEN)).mean(mean)
    control.set_weights(gate.get_weights())
    without = numpy_of(control(GIVEN)).mean(mean)
    g = numpy_of(gate.attention(GIVEN))
    covariance = (GIVEN * g).mean(mean) - GIVEN.mean(mean) * g.mean(mean)
    np.testing.assert_allclose(gated - without, covariance, atol=1e-6)
    assert np.abs(covariance).max() > 1e-3
    assert np.ptp(numpy_of(control.attention(GIVEN)), axis=mean).max() == 0


def test_heads_are_equal_but_for_the_pooling():
    heads = [
        head_on_maps(4, MAPS, 2, pooling, equal_parameters=True)
        for pooling in POOLINGS
    ]
    dense = 8 * 128 + 128 + 128 * 4 + 4
    for one in heads:
        assert one.count_params() == 8 * 64 + 129 + dense
        assert_same(one.get_weights(), heads[0].get_weights())
    plain = head_on_maps(4, MAPS, 2)
    assert plain.count_params() == dense
    assert_same(plain.get_weights(), heads[0].get_weights()[4:])
    other = head_on_maps(4, MAPS, 3).get_weights()[0]
    assert np.abs(other - plain.get_weights()[0]).max() > 0.01
    with pytest.raises(ValueError, match="pooling: 'mean' is none of"):
        head_on_maps(4, MAPS, pooling="mean")


@pytest.mark.parametrize(
    ("pooling", "pooled"), [("average", "mean"), ("max",) * 2]
)
def test_heads_pool_as_they_say(pooling, pooled):
    head = head_on_maps(4, MAPS, pooling=pooling)
    w1, b1, w2, b2 = head.get_weights()
    features = getattr(np, pooled)(GIVEN, axis=(1, 2))
    logits = np.maximum(features @ w1 + b1, 0) @ w2 + b2
    np.testing.assert_allclose(
        numpy_of(head(GIVEN)), logits, rtol=1e-4, atol=1e-5
    )


def test_a_head_trained_on_kept_maps_fits_its_base():
    """Example 2 of the source, the base run once; no weight of it moves."""
    base = backbone("VGG16", "random", 32, pooled=False)
    images = np.random.default_rng(0).uniform(0, 255, (4, *SHAPE))
    kept = base.predict(images, verbose=0)
    head = head_on_maps(4, base.output_shape[1:], pooling="attention")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    head.compile(keras.optimizers.Adam(1e-4), loss)
    before = base.get_weights()
    head.fit(kept, np.arange(4), epochs=2, verbose=0)
    model = attach(base, head)
    np.testing.assert_allclose(
        model.predict(images, verbose=0),
        head.predict(kept, verbose=0),
        rtol=1e-3,
        atol=1e-4,
    )
    assert_same(before, base.get_weights())
    assert model.layers[0] is base
    trained = sum(numpy_of(w).size for w in model.trainable_weights)
    assert trained == 512 * 64 + 129 + 512 * 128 + 128 + 128 * 4 + 4


def test_the_small_vgg_is_as_told():
    assert small_vgg(64).count_params() == 19_540
    assert small_vgg(64, pooling="attention").count_params() == 21_717
    model = small_vgg(32)
    assert small_base(SHAPE).output_shape == (None, 8, 8, 32)
    assert model.output_shape == (None, 4)
    first, same, other = (
        small_vgg(32, seed).get_weights() for seed in (0, 0, 1)
    )
    assert_same(first, same)
    assert np.abs(first[0] - other[0]).max() > 0.01
    convolutions = [w for w in first if w.ndim == 4]
    assert [w.shape[-1] for w in convolutions] == [8, 8, 16, 16, 32, 32]
    kinds = [type(layer).__name__ for layer in model.layers[0].layers]
    assert kinds.count("BatchNormalization") == 3
    # He's distribution: the signal keeps its size.
    assert 0.5 < convolutions[-1].std() / np.sqrt(2 / (9 * 32)) < 1.5


def test_logits_are_in_full_precision():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = small_vgg(32, pooling="attention")
    finally:
        keras.config.set_dtype_policy("float32")
    assert numpy_of(model(np.full((2, *SHAPE), 200.0))).dtype == "float32"
    assert model.layers[1].compute_dtype == "float16"


def test_a_copy_keeps_what_the_gate_is():
    gate = SpatialGate(everywhere=True, seed=4)
    copy = SpatialGate.from_config(gate.get_config())
    assert copy.everywhere
    np.testing.assert_array_equal(numpy_of(copy(GIVEN)), numpy_of(gate(GIVEN)))
