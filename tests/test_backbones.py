"""Keras' networks behind the scaling that their weights expect."""

import keras
import numpy as np
import pytest

from helpers import backbones
from helpers.backbones import BACKBONES, backbone, costs, trainable

SIZE = 32
SHAPE = (SIZE, SIZE, 3)
PREPROCESS = {
    "VGG16": keras.applications.vgg16,
    "ResNet-50": keras.applications.resnet,
    "ResNet-101": keras.applications.resnet,
    "DenseNet-121": keras.applications.densenet,
    "EfficientNetB0": keras.applications.efficientnet,
    "EfficientNetB1": keras.applications.efficientnet,
}


def pictures(n=2):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, *SHAPE)).astype("float32")


@pytest.fixture(scope="module")
def frozen():
    """Every network that is not just a deeper one of the same family."""
    names = ("VGG16", "ResNet-50", "DenseNet-121")
    return {name: backbone(name, None, SIZE, pooled=False) for name in names}


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("scaling", backbones.SCALINGS)
def test_pictures_are_scaled_as_keras_does_it(name, scaling):
    given, inputs = pictures(), keras.Input(SHAPE)
    scaled = backbones._scaled(inputs, name, scaling)
    # preprocess_input changes what it is given.
    expected = {
        "own": PREPROCESS[name].preprocess_input(given.copy()),
        "none": given,
        "divided by 255": given / 255,
    }[scaling]
    kept = given.copy()
    found = keras.Model(inputs, scaled)(given)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(given, kept)


def test_a_network_sees_scaled_pictures(frozen):
    for name, network in frozen.items():
        scaled = PREPROCESS[name].preprocess_input(pictures())
        expected = np.asarray(network.layers[-1](scaled))
        np.testing.assert_allclose(
            network(pictures()),
            expected,
            rtol=1e-3,
            atol=1e-3 * expected.std(),
        )


def test_pooled_features_are_the_means_of_the_maps(frozen):
    pooled = backbone("VGG16", "random", SIZE)
    assert pooled.output_shape == (None, 512)
    np.testing.assert_allclose(
        pooled(pictures()),
        np.mean(frozen["VGG16"](pictures()), axis=(1, 2)),
        rtol=1e-5,
    )
    widths = {name: m.output_shape[1:] for name, m in frozen.items()}
    assert widths["ResNet-50"] == (1, 1, 2048)
    assert widths["DenseNet-121"] == (1, 1, 1024)


def test_a_frozen_network_stays_as_it_is_under_fit(frozen):
    base = frozen["ResNet-50"]
    head = [keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential([base, *head])
    # Not traced, which takes longer than the step.
    model.compile("sgd", "mse", run_eagerly=True)
    model.build((None, *SHAPE))
    before = model.get_weights()
    model.fit(pictures(4), np.ones((4, 2)), verbose=0)
    moved = [
        value.path
        for value, old, new in zip(
            model.weights, before, model.get_weights(), strict=True
        )
        if not np.array_equal(old, new)
    ]
    assert any("moving_mean" in value.path for value in model.weights)
    assert moved == [value.path for value in model.layers[-1].weights]


def test_a_trainable_network_is_trained_whole():
    network = trainable("ResNet-50", None)(5, SHAPE, 3)
    assert network.output_shape == (None, 5)
    normal = [
        layer
        for layer in network.get_layer("resnet50").layers
        if hasattr(layer, "moving_mean")
    ]
    assert {layer.momentum for layer in normal} == {0.9}
    assert all(layer.trainable for layer in normal)
    scaled = keras.applications.resnet.preprocess_input(pictures())
    features = network.get_layer("resnet50")(scaled)
    np.testing.assert_allclose(
        network(pictures()), network.layers[-1](features), rtol=1e-4, atol=1e-4
    )


def test_the_seed_draws_all_of_an_untrained_network():
    one, same, other = (
        trainable("VGG16", None)(2, SHAPE, seed).get_weights()
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one[0], same[0])
    np.testing.assert_array_equal(one[-2], same[-2])
    assert np.abs(one[0] - other[0]).max() > 0.01
    assert np.abs(one[-2] - other[-2]).max() > 0.01


def test_logits_are_in_full_precision():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        network = trainable("VGG16", None)(2, SHAPE, 0)
    finally:
        keras.config.set_dtype_policy("float32")
    assert network.get_layer("vgg16").compute_dtype == "float16"
    assert network.output.dtype == "float32"


def test_a_path_loads(frozen, tmp_path):
    path = tmp_path / "mine.weights.h5"
    frozen["VGG16"].layers[-1].save_weights(path)
    loaded = backbone("VGG16", str(path), SIZE, pooled=False, seed=9)
    np.testing.assert_array_equal(
        loaded.get_weights()[0], frozen["VGG16"].get_weights()[0]
    )


def test_efficientnet_b1_is_that_of_the_book():
    model = backbone("EfficientNetB1", "offline", SIZE, pooled=False)
    assert model.output_shape == (None, 1, 1, 1280)
    with pytest.raises(FileNotFoundError, match="gone.weights.h5"):
        backbone("EfficientNetB1", "gone.weights.h5", SIZE)


def test_costs_are_told_side_by_side():
    table = costs(("VGG16", "ResNet-50"), SIZE, batch_size=1, rounds=2)
    assert table.index.name == "network"
    # Simonyan & Zisserman, Table 2: 138 million with the top's 123.6.
    assert table.parameters["VGG16"] == 14_714_688
    assert table.MB["VGG16"] == pytest.approx(4 * 14.714688)
    assert list(table.features) == [512, 2048]
    assert list(table.maps) == [1, 1]
    assert (table["seconds a picture"] > 0).all()
    assert (table["slowest"] >= table["seconds a picture"]).all()


def test_bad_input_is_named(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="name: 'VGG' is none of"):
        trainable("VGG", None)
    with pytest.raises(ValueError, match="name: 'resnet50' is none of"):
        backbone("resnet50", None, SIZE)
    with pytest.raises(ValueError, match="scaling: 'torch' is none of"):
        backbone("VGG16", None, SIZE, "torch")
    with pytest.raises(FileNotFoundError, match="gone.weights.h5"):
        trainable("VGG16", str(tmp_path / "gone.weights.h5"))(2, SHAPE, 0)
    own = tmp_path / "efficientnetb0_notop.h5"
    own.write_bytes(b"pretend")
    md5 = "344dfdad53124d40af91ca4ffa8fd10f"
    monkeypatch.setattr(backbones, "_NOT_BY_PATH", {"EfficientNetB0": md5})
    with pytest.raises(ValueError, match="models/ of Keras' home"):
        backbone("EfficientNetB0", str(own), SIZE)
