"""Frozen features: what the cache keeps apart, and what it does not do."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers.data import catalog as datasets
from helpers.models import BACKBONES, PREPROCESSING, backbones, frozen_features
from helpers.models.backbones import features_network
from helpers.paths import DATA_DIR

B1, LITE = "EfficientNetB1", "EfficientNet-Lite1"


@pytest.fixture
def images():
    generator = np.random.default_rng(0)
    return generator.integers(256, size=(6, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def networks(monkeypatch):
    """In place of networks: each gives its number; those that were built."""
    built = []

    class Numbered:
        def __init__(self, *_):
            built.append(self)
            self.number = len(built)

        def predict_on_batch(self, images):
            return np.full((len(images), 2), self.number, "float32")

    features_network.cache_clear()
    monkeypatch.setattr(backbones, "base_network", lambda *_: None)
    monkeypatch.setattr(backbones, "features_network", Numbered)
    return built


def test_features_are_of_the_plain_and_the_augmented_images(tmp_path):
    """Flat images with one bright half: no view may equal the plain one."""
    images = np.zeros((6, 32, 32, 3), np.uint8)
    images[:, :16, :, 0] = 255
    views = frozen_features(images, LITE, "imagenet", 3, cache_dir=tmp_path)
    assert views.shape == (3, 6, 704)
    assert views.dtype == np.float32
    size = np.abs(views[0]).mean()
    for one, other in ((0, 1), (0, 2), (1, 2)):
        apart = np.abs(views[one] - views[other]).mean(axis=1)
        assert (apart > 0.01 * size).all()
    again = frozen_features(images, LITE, "imagenet", 3, cache_dir=tmp_path)
    np.testing.assert_array_equal(again, views)


def test_random_weights_repeat(images, tmp_path):
    one = frozen_features(images, LITE, "random", cache_dir=tmp_path / "a")
    features_network.cache_clear()
    two = frozen_features(images, LITE, "random", cache_dir=tmp_path / "b")
    np.testing.assert_array_equal(one, two)


def test_only_a_change_computes_anew(images, tmp_path, networks):
    def features(given=images, **options):
        options = {"backbone": LITE, "weights": "random", **options}
        return frozen_features(given, cache_dir=tmp_path, **options)[0, 0, 0]

    changed, file = images.copy(), tmp_path / "mine.weights.h5"
    changed[0, 0, 0, 0] ^= 1
    file.write_bytes(b"weights")
    asked = [
        {},
        {"given": changed},
        {"given": images[:3]},
        {"preprocessing": "divide_by_255"},
        {"weights": "imagenet"},
        {"weights": str(file)},
        {"backbone": B1},
        {"depths": ("block 4",)},
    ]
    for _ in range(2):
        found = [features(**options) for options in asked]
        assert found == list(range(1, len(asked) + 1))
    file.write_bytes(b"others")
    assert features(weights=str(file)) == len(asked) + 1
    features(views=3)
    assert len(networks) == len(asked) + 3


def test_one_network_serves_all_views_and_preprocessings(images, tmp_path):
    features_network.cache_clear()
    for preprocessing in PREPROCESSING[1:]:
        frozen_features(
            images, LITE, "random", 2, preprocessing, cache_dir=tmp_path
        )
    assert features_network.cache_info().misses == 1


def test_features_of_one_depth_are_a_slice(images, tmp_path):
    def features(depths=None):
        options = {"cache_dir": tmp_path, "depths": depths}
        return frozen_features(images, LITE, "imagenet", **options)[0]

    parts = np.split(features(), np.cumsum((80, 112, 192)), axis=1)
    for depth, part in zip(BACKBONES[LITE].depths, parts, strict=True):
        np.testing.assert_allclose(features((depth,)), part, 1e-3, 1e-5)


def test_unknown_options_are_refused(images, tmp_path):
    for given, options, message in (
        (images, {"preprocessing": "twice"}, "preprocessing: 'twice' is none"),
        (images, {"backbone": "Lite1"}, "BACKBONE: 'Lite1' is none of"),
        (images / 255.0, {}, "uint8"),
    ):
        options = {"backbone": LITE, "weights": "random", **options}
        with pytest.raises(ValueError, match=message):
            frozen_features(given, cache_dir=tmp_path, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.real
def test_imagenet_features_tell_real_lesions_apart_by_source():
    """A linear probe; 0.514 measured, as in a trial before it was built."""
    if not (DATA_DIR / "acne5").is_dir():
        pytest.skip("the public acne set is not in WORKBOOK_DATA")
    ds = datasets.load("acne5", image_size=150)
    (features,) = frozen_features(ds.images, "EfficientNet-Lite1", "imagenet")
    probe = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)
    )
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    found = cross_val_predict(
        probe, features, ds.labels, groups=ds.groups, cv=folds
    )
    assert f1_score(ds.labels, found, average="macro") >= 0.50
