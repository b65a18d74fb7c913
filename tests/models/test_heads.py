"""Heads, the gate and its controls, the small VGG, and what maps point at."""

import keras
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from helpers.methods import CrossEntropy
from helpers.models import (
    POOLINGS,
    SpatialGate,
    attach,
    backbone,
    build_classifier,
    grad_cam,
    head_on_maps,
    places_found,
    randomised,
    small_base,
    unfreeze,
)

SIDE, SPOT = 32, 4
SHAPE = (SIDE, SIDE, 3)
GIVEN = np.random.default_rng(0).normal(size=(3, 4, 6, 8)).astype("float32")
MAPS = GIVEN.shape[1:]
RED, BLUE = (250, 60, 60), (60, 60, 250)


def small_vgg(n_classes=4, seed=0, pooling="average"):
    base = small_base(SHAPE, seed)
    shape = base.output_shape[1:]
    return attach(base, head_on_maps(n_classes, shape, seed, pooling, 32))


def numpy_of(tensor):
    return keras.ops.convert_to_numpy(tensor)


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
    # A copy, as `randomised` makes it, keeps what the gate is.
    control = SpatialGate.from_config(control.get_config())
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
    for pooling in ("average", "max"):
        plain = head_on_maps(4, MAPS, 2, pooling)
        w1, b1, w2, b2 = plain.get_weights()
        assert_same(plain.get_weights(), heads[0].get_weights()[4:])
        features = getattr(GIVEN, pooling.replace("average", "mean"))((1, 2))
        logits = np.maximum(features @ w1 + b1, 0) @ w2 + b2
        np.testing.assert_allclose(plain(GIVEN), logits, rtol=1e-4, atol=1e-5)
    other = head_on_maps(4, MAPS, 3).get_weights()[0]
    assert np.abs(other - w1).max() > 0.01
    with pytest.raises(ValueError, match="pooling: 'mean' is none of"):
        head_on_maps(4, MAPS, pooling="mean")


def test_a_head_trained_on_kept_maps_fits_its_base():
    """Example 2 of the source, the base run once; no weight of it moves."""
    base = backbone("VGG16", "random", SIDE, pooled=False)
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
    model.compile("sgd", CrossEntropy())
    shuffled = randomised(model)
    assert grad_cam(shuffled, images, np.arange(4)).shape == (4, 1, 1)


def test_the_small_vgg_is_as_described():
    model, gated = small_vgg(), small_vgg(pooling="attention")
    assert model.count_params() == 19_540
    assert gated.count_params() == 21_717
    assert model.layers[0].output_shape == (None, 8, 8, 32)
    assert model.output_shape == (None, 4)
    first, same, other = (
        small_vgg(seed=seed).get_weights() for seed in (0, 0, 1)
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
        model = small_vgg(pooling="attention")
    finally:
        keras.config.set_dtype_policy("float32")
    assert numpy_of(model(np.full((2, *SHAPE), 200.0))).dtype == "float32"
    assert model.layers[1].compute_dtype == "float16"


def spotted(n, seed=0):
    """Grey noise with one spot of a cell's size: red for class 1, or blue."""
    rng = np.random.default_rng(seed)
    images = rng.integers(60, 120, (n, *SHAPE), dtype=np.uint8)
    labels, masks = np.arange(n) % 2, np.zeros((n, SIDE, SIDE), bool)
    for image, mask, label in zip(images, masks, labels, strict=True):
        row, column = SPOT * rng.integers(SIDE // SPOT, size=2)
        place = np.s_[row : row + SPOT, column : column + SPOT]
        image[place] = RED if label else BLUE
        mask[place] = True
    return images, labels, masks


@pytest.fixture(scope="module")
def trained():
    model = small_vgg(2)
    images, labels, _ = spotted(320)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss)
    model.fit(
        images.astype("float32"), labels, epochs=6, batch_size=32, verbose=0
    )
    return model


def highest(maps):
    """Row and column of each map's highest cell."""
    flat = maps.reshape(len(maps), -1).argmax(axis=1)
    return np.stack(np.unravel_index(flat, maps.shape[1:]), axis=1)


def test_grad_cam_of_a_trained_network_points_at_what_was_planted(trained):
    images, labels, masks = spotted(60, seed=1)
    decided = trained.predict(images.astype("float32"), verbose=0)
    assert np.mean(decided.argmax(axis=1) == labels) > 0.9
    maps = grad_cam(trained, images, labels)
    assert maps.shape == (60, 8, 8) and maps.min() >= 0
    planted = highest(masks[:, ::SPOT, ::SPOT].astype(float))
    near = np.abs(highest(maps) - planted).max(axis=1) <= 1
    # Two classes need one colour: what shows none of it is the other class,
    # and has no place that speaks for it.
    seen = np.argmax([near[labels == label].mean() for label in (0, 1)])
    rows = labels == seen
    assert near[rows].mean() > 0.9  # by chance 9 of 64
    # The spot does not speak for the other class.
    other = grad_cam(trained, images, 1 - labels)
    found = [places_found(m[rows], masks[rows]).mean() for m in (maps, other)]
    assert found[0] > 0.9 > 0.6 > found[1]


def test_grad_cam_is_the_formula():
    model = small_vgg(3, seed=2)
    images, _, _ = spotted(5)
    asked = np.array([0, 1, 2, 0, 1])
    maps = model.layers[0].predict(images.astype("float32"), verbose=0)
    w1, b1, w2, _ = model.get_weights()[-4:]
    active = maps.mean(axis=(1, 2)) @ w1 + b1 > 0
    # d logit / d map is the same at all 64 places under an average.
    slope = np.einsum("fd,nd,dn->nf", w1, active, w2[:, asked]) / 64
    expected = np.maximum(np.einsum("nf,nhwf->nhw", slope, maps), 0)
    np.testing.assert_allclose(
        grad_cam(model, images, asked), expected, rtol=1e-3, atol=1e-6
    )
    assert expected.max() > 0


def test_a_randomised_network_has_forgotten(trained):
    images, labels, _ = spotted(60, seed=1)
    before = trained.get_weights()
    copy, same, other = (randomised(trained, seed) for seed in (0, 0, 1))
    assert_same(before, trained.get_weights())
    for old, new in zip(before, copy.get_weights(), strict=True):
        np.testing.assert_array_equal(np.sort(old, None), np.sort(new, None))
    logits = copy.predict(images.astype("float32"), verbose=0)
    assert np.mean(logits.argmax(axis=1) == labels) < 0.8
    assert_same(copy.get_weights(), same.get_weights())
    for another in (before, other.get_weights()):
        assert np.abs(copy.get_weights()[0] - another[0]).max() > 0.01


def test_places_found_is_the_area_under_the_curve():
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 9, (4, 5, 6)).astype(float)
    masks = rng.random((4, 10, 18)) < 0.05
    cells = masks.reshape(4, 5, 2, 6, 3).any(axis=(2, 4))
    found = places_found(maps, masks)
    for value, one, lesion in zip(found, maps, cells, strict=True):
        expected = roc_auc_score(lesion.ravel(), one.ravel())
        assert value == pytest.approx(expected)
    # A map orders nothing where all places are of one kind.
    assert np.isnan(places_found(maps, np.zeros((4, 10, 18), bool))).all()
