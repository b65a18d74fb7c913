"""Backbone, head and the errors a reader may meet on the way to weights."""

import keras
import numpy as np
import pytest

from helpers import models
from helpers.models import (
    build_backbone,
    build_classifier,
    build_extractor,
    freeze_batch_normalization,
    set_batch_normalization_momentum,
    weights_identity,
)


@pytest.fixture(scope="module")
def backbone():
    return build_backbone("random", 32)


def test_head_is_the_papers(backbone):
    model = build_classifier(backbone, 5)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["Functional", "Dense", "Dropout", "Dense"]
    assert model.layers[1].activation is keras.activations.relu
    assert model.output_shape == (None, 5)
    assert backbone.output_shape == (None, 1280)


def test_same_seed_same_head(backbone):
    def head(seed):
        return build_classifier(backbone, 5, seed=seed).layers[1].get_weights()

    np.testing.assert_array_equal(head(1)[0], head(1)[0])
    assert not np.array_equal(head(1)[0], head(2)[0])


def test_as_published_divides_once_more(backbone):
    published = build_backbone("random", 32, "as published")
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3))
    expected = backbone.predict(pictures / 255, verbose=0)
    np.testing.assert_allclose(
        published.predict(pictures, verbose=0),
        expected,
        rtol=0,
        atol=1e-3 * expected.std(),
    )


def test_frozen_batch_normalization_stays_under_fit():
    normal = keras.layers.BatchNormalization()
    inner = keras.Sequential([keras.Input((3,)), normal])
    model = keras.Sequential([inner, keras.layers.Dense(1)])
    freeze_batch_normalization(model)
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(5, 1, (32, 3))
    model.fit(x, np.zeros((32, 1)), verbose=0)
    np.testing.assert_array_equal(normal.moving_mean, np.zeros(3))
    assert model.layers[-1].trainable


def test_momentum_is_set_in_nested_models_too():
    normal = keras.layers.BatchNormalization()
    inner = keras.Sequential([keras.Input((3,)), normal])
    set_batch_normalization_momentum(
        keras.Sequential([inner, keras.layers.Dense(1)]), 0.9
    )
    assert normal.momentum == 0.9


def test_frozen_features_come_from_the_named_depths():
    """Every depth alone is a slice of all together, of the told width."""
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3))
    ends = np.cumsum(list(models.WIDTHS.values()))[:-1]
    whole = build_extractor("random", 32, depths=tuple(models.WIDTHS))
    whole = whole.predict(pictures, verbose=0)
    parts = dict(
        zip(models.WIDTHS, np.split(whole, ends, axis=1), strict=True)
    )
    usual = build_extractor("random", 32)
    expected = np.hstack([parts[depth] for depth in models.DEPTHS])
    assert usual.output_shape == (None, 704)
    np.testing.assert_allclose(
        usual.predict(pictures, verbose=0), expected, rtol=1e-4
    )
    top = build_backbone("random", 32).predict(pictures, verbose=0)
    np.testing.assert_allclose(parts["top_activation"], top, rtol=1e-4)


def test_the_shipped_weights_are_the_expected_ones():
    assert weights_identity("offline") == f"sha256:{models.OFFLINE_SHA256}"
    assert models.OFFLINE_WEIGHTS.stat().st_size < 15e6
    network = build_extractor("offline", 32)
    gammas = [
        np.asarray(layer.gamma)
        for layer in network.layers
        if layer.name.endswith("_project_bn")
    ]
    assert all(np.abs(gamma).max() > 0 for gamma in gammas)


def test_damaged_offline_weights_are_refused(tmp_path, monkeypatch):
    damaged = tmp_path / models.OFFLINE_WEIGHTS.name
    content = bytearray(models.OFFLINE_WEIGHTS.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    monkeypatch.setattr(models, "OFFLINE_WEIGHTS", damaged)
    with pytest.raises(ValueError, match="damaged.*git checkout"):
        build_backbone("offline", 32)


def test_a_path_loads_and_is_told_by_its_hash(backbone, tmp_path):
    path = tmp_path / "mine.weights.h5"
    backbone.layers[-1].save_weights(path)
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3))
    np.testing.assert_allclose(
        build_backbone(str(path), 32, seed=9).predict(pictures, verbose=0),
        backbone.predict(pictures, verbose=0),
        rtol=1e-5,
    )
    assert weights_identity(str(path)).startswith("sha256:")
    assert weights_identity("random", 3) == "random, seed 3"


def test_weights_that_cannot_be_had_name_the_option(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="WEIGHTS"):
        build_backbone(str(tmp_path / "absent.h5"), 32)
    monkeypatch.setattr(models, "OFFLINE_WEIGHTS", tmp_path / "absent.h5")
    with pytest.raises(FileNotFoundError, match="Restore data/weights"):
        build_backbone("offline", 32)


def test_a_failed_download_names_the_option(monkeypatch):
    def refuse(weights=None, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(keras.applications, "EfficientNetB1", refuse)
    with pytest.raises(FileNotFoundError, match="WEIGHTS to 'offline'"):
        build_backbone("imagenet", 32)


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "junk.weights.h5"
    path.write_bytes(b"not an HDF5 file")
    with pytest.raises(ValueError, match="junk.weights.h5"):
        build_backbone(str(path), 32)


def test_keras_own_file_by_path_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "efficientnetb1_notop.h5"
    path.write_bytes(b"pretend")
    monkeypatch.setattr(
        models, "_KERAS_IMAGENET_MD5", models._file_hash(path, "md5")
    )
    with pytest.raises(ValueError, match="imagenet"):
        build_backbone(str(path), 32)


def test_unknown_scaling_is_refused():
    with pytest.raises(ValueError, match="scaling"):
        build_backbone("random", 32, "halved")
