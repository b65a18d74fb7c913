"""EfficientNet-Lite: the authors' network, with the authors' weights."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from helpers.models.efficientnet_lite import efficientnet_lite
from helpers.models.weights import PACKAGED

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
