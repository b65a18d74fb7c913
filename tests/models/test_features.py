"""Frozen features: what the cache keeps apart, and what it does not do."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers.data import catalog as datasets
from helpers.models import features as module
from helpers.models.backbones import BACKBONES, PREPROCESSING, backbone
from helpers.models.features import compiled_network, frozen_features
from helpers.paths import DATA_DIR

B1 = "EfficientNetB1"
LITE = "EfficientNet-Lite1"


@pytest.fixture
def images():
    generator = np.random.default_rng(0)
    return generator.integers(256, size=(6, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def extractions(monkeypatch):
    """How often images really go through the network."""
    calls = []
    real = module._extract

    def counted(*arguments):
        calls.append(arguments[2])
        return real(*arguments)

    monkeypatch.setattr(module, "_extract", counted)
    return calls


def test_second_run_reads_the_cache(images, tmp_path, extractions):
    first = frozen_features(images, B1, "random", views=2, cache_dir=tmp_path)
    again = frozen_features(images, B1, "random", views=2, cache_dir=tmp_path)
    assert extractions == [0, 1]
    assert first.shape == (2, 6, 704)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, again)


def test_augmented_views_are_augmented(tmp_path):
    """Flat images with one bright half: no view may equal the plain one."""
    images = np.zeros((6, 32, 32, 3), np.uint8)
    images[:, :16, :, 0] = 255
    views = frozen_features(images, LITE, "imagenet", 3, cache_dir=tmp_path)
    spread = np.abs(views[0]).mean()
    for one, other in ((0, 1), (0, 2), (1, 2)):
        apart = np.abs(views[one] - views[other]).mean(axis=1)
        assert (apart > 0.01 * spread).all()


def test_a_change_computes_anew(images, tmp_path, extractions):
    def features(given, **options):
        options = {"backbone": LITE, "weights": "random", **options}
        return frozen_features(given, cache_dir=tmp_path, **options)

    plain = features(images)
    changed = images.copy()
    changed[0, 0, 0, 0] ^= 1
    features(changed)
    others = [
        features(images, preprocessing="divide_by_255"),
        features(images, seed=1),
        features(images, weights="imagenet"),
        features(images, backbone=B1),
    ]
    first = next(iter(BACKBONES[LITE].depths))
    one = features(images, depths=(first,))
    assert len(extractions) == 7
    assert all(not np.array_equal(plain, other) for other in others)
    np.testing.assert_allclose(one, plain[..., : one.shape[-1]], rtol=1e-4)


def test_random_weights_repeat(images, tmp_path):
    one = frozen_features(images, LITE, "random", cache_dir=tmp_path / "a")
    two = frozen_features(images, LITE, "random", cache_dir=tmp_path / "b")
    np.testing.assert_array_equal(one, two)


def test_scaled_images_are_refused(images, tmp_path):
    with pytest.raises(ValueError, match="uint8"):
        frozen_features(images / 255.0, LITE, "random", cache_dir=tmp_path)


def test_one_network_serves_all_views_and_preprocessings(images, tmp_path):
    compiled_network.cache_clear()
    for preprocessing in PREPROCESSING:
        frozen_features(
            images,
            LITE,
            "random",
            views=2,
            preprocessing=preprocessing,
            cache_dir=tmp_path,
        )
    assert compiled_network.cache_info().misses == 1


def test_a_weights_file_that_changed_is_read_again(images, tmp_path):
    file, found = tmp_path / "mine.weights.h5", []
    for seed in (0, 1):
        network = backbone(LITE, "random", 32, seed=seed)
        network.layers[-1].save_weights(file, overwrite=True)
        features = frozen_features(images, LITE, str(file), cache_dir=tmp_path)
        found.append(features)
    assert not np.array_equal(*found)


def test_unknown_options_are_refused(images, tmp_path):
    for options, message in (
        ({"preprocessing": "twice"}, "preprocessing: 'twice' is none of"),
        ({"backbone": "Lite1"}, "BACKBONE: 'Lite1' is none of"),
    ):
        options = {"backbone": LITE, "weights": "random", **options}
        with pytest.raises(ValueError, match=message):
            frozen_features(images, cache_dir=tmp_path, **options)
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
