"""Frozen features: what the cache keeps apart, and what it does not do."""

import numpy as np
import pytest

from helpers import features as module
from helpers import models
from helpers.features import compiled_network, frozen_features


@pytest.fixture
def images():
    generator = np.random.default_rng(0)
    return generator.integers(256, size=(6, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def extractions(monkeypatch):
    """How often pictures really go through the network."""
    calls = []
    real = module._extract

    def counted(*arguments):
        calls.append(arguments[2])
        return real(*arguments)

    monkeypatch.setattr(module, "_extract", counted)
    return calls


def test_second_run_reads_the_cache(images, tmp_path, extractions):
    first = frozen_features(images, "random", views=2, cache_dir=tmp_path)
    again = frozen_features(images, "random", views=2, cache_dir=tmp_path)
    assert extractions == [0, 1]
    assert first.shape == (2, 6, 704)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, again)


def test_augmented_views_are_augmented(tmp_path):
    """Flat pictures with one bright half: no view may equal the plain one."""
    images = np.zeros((6, 32, 32, 3), np.uint8)
    images[:, :16, :, 0] = 255
    views = frozen_features(images, "random", views=3, cache_dir=tmp_path)
    spread = np.abs(views[0]).mean()
    for one, other in ((0, 1), (0, 2), (1, 2)):
        apart = np.abs(views[one] - views[other]).mean(axis=1)
        assert (apart > 0.01 * spread).all()


def test_a_change_computes_anew(images, tmp_path, extractions):
    def features(pictures, **options):
        options = {"weights": "random", **options}
        return frozen_features(pictures, cache_dir=tmp_path, **options)

    plain = features(images)
    changed = images.copy()
    changed[0, 0, 0, 0] ^= 1
    features(changed)
    published = features(images, scaling="as published")
    other = features(images, seed=1)
    features(images, depths=models.DEPTHS[:1])
    assert len(extractions) == 5
    assert not np.array_equal(plain, published)
    assert not np.array_equal(plain, other)


def test_random_weights_repeat(images, tmp_path):
    one = frozen_features(images, "random", cache_dir=tmp_path / "a")
    two = frozen_features(images, "random", cache_dir=tmp_path / "b")
    np.testing.assert_array_equal(one, two)


def test_scaled_pictures_are_refused(images, tmp_path):
    with pytest.raises(ValueError, match="uint8"):
        frozen_features(images / 255.0, "random", cache_dir=tmp_path)


def test_one_network_serves_all_views_and_scalings(images, tmp_path):
    compiled_network.cache_clear()
    for scaling in models.SCALINGS:
        frozen_features(
            images, "random", views=2, scaling=scaling, cache_dir=tmp_path
        )
    assert compiled_network.cache_info().misses == 1


def test_a_weights_file_that_changed_is_read_again(images, tmp_path):
    file, found = tmp_path / "own.weights.h5", []
    for seed in (0, 1):
        models.build_backbone("random", 32, seed=seed).layers[-1].save_weights(
            file, overwrite=True
        )
        found.append(frozen_features(images, str(file), cache_dir=tmp_path))
    assert not np.array_equal(*found)


def test_an_unknown_scaling_is_refused(images, tmp_path):
    with pytest.raises(ValueError, match="scaling: 'twice' is none of"):
        frozen_features(images, "random", scaling="twice", cache_dir=tmp_path)
    assert not list(tmp_path.iterdir())
