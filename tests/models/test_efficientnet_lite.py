"""EfficientNet-Lite: the authors' network, with the authors' weights."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from helpers.models.backbones import BACKBONES
from helpers.models.efficientnet_lite import REPEATS, WIDTHS, efficientnet_lite
from helpers.models.weights import PACKAGED, read_state_dict

LITE_1 = "EfficientNet-Lite1"
PALACE = 698
# The authors' README: input side, parameters (millions).
PUBLISHED = {"EfficientNet-Lite0": (224, 4.7), LITE_1: (240, 5.4)}


def china(side):
    """scikit-learn's photograph as the authors evaluate: centre, bicubic."""
    image = Image.fromarray(load_sample_image("china.jpg"))
    kept = round(0.875 * min(image.size))
    left, top = ((length - kept) // 2 for length in image.size)
    image = image.crop((left, top, left + kept, top + kept))
    image = image.resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(image, "float32")[None]


@pytest.fixture(scope="module")
def classifiers():
    return {
        name: efficientnet_lite(name, "imagenet", (side, side, 3), True)
        for name, (side, _) in PUBLISHED.items()
    }


@pytest.fixture(scope="module")
def logits(classifiers):
    return {
        name: np.asarray(classifier(china(PUBLISHED[name][0])))
        for name, classifier in classifiers.items()
    }


def test_a_palace_is_a_palace(logits):
    for found in logits.values():
        assert found.shape == (1, 1000)
        assert found.argmax() == PALACE


def test_parameters_are_as_published(classifiers):
    counts = {name: net.count_params() for name, net in classifiers.items()}
    # BatchNorm's moving statistics included.
    assert counts[LITE_1] == 5_470_344
    for name, network in classifiers.items():
        trained = sum(np.prod(w.shape) for w in network.trainable_weights)
        assert round(trained / 1e6, 1) == PUBLISHED[name][1]


@pytest.mark.parametrize("name", PUBLISHED)
def test_stages_end_where_the_depths_say(classifiers, name):
    network, side = classifiers[name], PUBLISHED[name][0]
    depths = BACKBONES[name].depths
    for stage, stride in zip((4, 5, 6, 7), (16, 16, 32, 32), strict=True):
        layer, sides = depths[f"block {stage}"], -(-side // stride)
        shape = network.get_layer(layer).output.shape
        assert shape == (None, sides, sides, WIDTHS[stage - 1])
        last = "abcdefg"[REPEATS[name][stage - 1] - 1]
        assert layer.startswith(f"block{stage}{last}_")
    added = [x for x in network.layers if isinstance(x, keras.layers.Add)]
    assert len(added) == sum(REPEATS[name]) - len(WIDTHS)
    assert not any("_se_" in layer.name for layer in network.layers)


def test_arrays_of_the_file_lie_where_they_belong(classifiers):
    state = read_state_dict(PACKAGED[LITE_1].path())
    network = classifiers[LITE_1]
    kernel = state["_conv_stem.weight"]  # out, in, height, width
    placed = np.asarray(network.get_layer("stem_conv").kernel)
    np.testing.assert_array_equal(placed[1, 2, :, 5], kernel[5, :, 1, 2])
    depthwise = next(w for w in state.values() if w.shape == (32, 1, 3, 3))
    placed = np.asarray(network.get_layer("block1a_dwconv").kernel)
    np.testing.assert_array_equal(placed[0, 2, :, 0], depthwise[:, 0, 0, 2])
    norm = network.get_layer("top_bn")
    np.testing.assert_array_equal(
        norm.moving_variance, state["_bn1.running_var"]
    )
    np.testing.assert_array_equal(norm.beta, state["_bn1.bias"])


def test_without_its_top_it_gives_what_the_top_is_given(classifiers):
    side = PUBLISHED[LITE_1][0]
    features = efficientnet_lite(LITE_1, "imagenet", (side, side, 3))
    expected = keras.Model(
        classifiers[LITE_1].input, classifiers[LITE_1].layers[-1].input
    )
    image = china(side)
    assert features.output_shape == (None, 1280)
    np.testing.assert_array_equal(features(image), expected(image))


def test_weights_of_another_network_are_refused(monkeypatch):
    monkeypatch.setitem(PACKAGED, LITE_1, PACKAGED["EfficientNet-Lite0"])
    with pytest.raises(ValueError, match="shape"):
        efficientnet_lite(LITE_1, "imagenet", (32, 32, 3))


SCRIPT = f"""
import sys
import numpy as np
from helpers.models.efficientnet_lite import efficientnet_lite
image = np.load(sys.argv[1])
network = efficientnet_lite("{LITE_1}", "imagenet", image.shape[1:], True)
np.save(sys.argv[2], network.predict_on_batch(image))
"""


def test_jax_gives_the_same_logits(logits, tmp_path):
    if keras.backend.backend() == "jax":
        pytest.skip("this is JAX")
    pytest.importorskip("jax")
    image, out = tmp_path / "image.npy", tmp_path / "logits.npy"
    np.save(image, china(PUBLISHED[LITE_1][0]))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(image), str(out)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    expected = logits[LITE_1]
    np.testing.assert_allclose(np.load(out), expected, rtol=1e-3, atol=1e-3)
