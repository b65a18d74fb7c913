"""Maps point where a bright spot was planted, and say when they do not."""

import keras
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from helpers.models.attention import attach, head_on_maps, small_base
from helpers.models.backbones import backbone
from helpers.models.saliency import grad_cam, places_found, randomised

SIDE, SPOT = 32, 4
SHAPE = (SIDE, SIDE, 3)
RED, BLUE = (250, 60, 60), (60, 60, 250)


def small_vgg(n_classes, seed=0, pooling="average"):
    base = small_base(SHAPE, seed)
    shape = base.output_shape[1:]
    return attach(base, head_on_maps(n_classes, shape, seed, pooling, 32))


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


def planted(masks):
    return highest(masks[:, ::SPOT, ::SPOT].astype(float))


def test_grad_cam_of_a_trained_network_points_there_too(trained):
    images, labels, masks = spotted(60, seed=1)
    decided = trained.predict(images.astype("float32"), verbose=0)
    assert np.mean(decided.argmax(axis=1) == labels) > 0.9
    maps = grad_cam(trained, images, labels)
    assert maps.shape == (60, 8, 8) and maps.min() >= 0
    near = np.abs(highest(maps) - planted(masks)).max(axis=1) <= 1
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
    copy = randomised(trained)
    for old, kept, new in zip(
        before, trained.get_weights(), copy.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(old, kept)
        np.testing.assert_array_equal(np.sort(old, None), np.sort(new, None))
    assert np.abs(copy.get_weights()[0] - before[0]).max() > 0.01
    logits = copy.predict(images.astype("float32"), verbose=0)
    assert np.mean(logits.argmax(axis=1) == labels) < 0.8
    same, other = randomised(trained), randomised(trained, 1)
    firsts = [m.get_weights()[0] for m in (copy, same, other)]
    np.testing.assert_array_equal(firsts[0], firsts[1])
    assert np.abs(firsts[0] - firsts[2]).max() > 0.01


def test_a_backbone_has_maps_too():
    base = backbone("VGG16", "random", 64, pooled=False)
    head = head_on_maps(4, base.output_shape[1:], pooling="attention")
    model = randomised(attach(base, head))
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3))
    assert grad_cam(model, images, np.array([0, 3])).shape == (2, 2, 2)


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


def test_bad_input_is_named():
    images, labels, masks = spotted(2)
    chain = small_vgg(2)
    functional = keras.Model(chain.inputs, chain.outputs)
    with pytest.raises(ValueError, match="keras.Sequential of base and head"):
        grad_cam(functional, images, labels)
    with pytest.raises(ValueError, match=r"masks: \(2, 30, 32\)"):
        places_found(np.zeros((2, 8, 8)), masks[:, :30])
