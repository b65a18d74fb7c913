"""The formula corpus: seeded, varied, and true to its recorded factors."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from helpers.corpus import FACTORS, KINDS, Corpus


@pytest.fixture(scope="module")
def corpus():
    return Corpus(30)


@pytest.fixture(scope="module")
def batch(corpus):
    return corpus.batch(0, 300, 32)


def factor(batch, name):
    return batch.factors[:, FACTORS.index(name)]


def test_shapes_and_types(batch):
    assert batch.images.shape == (300, 32, 32, 3)
    assert batch.images.dtype == np.uint8
    assert batch.factors.shape == (300, len(FACTORS))
    assert set(batch.labels) <= set(range(30))
    assert len(set(batch.labels)) == 30


def test_a_batch_follows_from_its_number(corpus, batch):
    again = Corpus(30).batch(0, 300, 32)
    for one, other in zip(batch, again, strict=True):
        np.testing.assert_array_equal(one, other)
    later = corpus.batch(1, 300, 32)
    assert not np.array_equal(batch.images, later.images)
    assert not np.array_equal(
        Corpus(30, seed=1).batch(0, 300, 32).images, batch.images
    )


def test_classes_can_be_asked_for(corpus):
    asked = [0, 1, 2, 2]
    np.testing.assert_array_equal(corpus.batch(3, 4, 32, asked).labels, asked)


def test_no_two_pictures_are_alike_and_none_is_flat(batch):
    assert len(np.unique(batch.images.reshape(300, -1), axis=0)) == 300
    assert batch.images.std(axis=(1, 2, 3)).min() > 2


def test_factors_are_standardised_and_known_where_they_mean_something(batch):
    spread = np.nanstd(batch.factors, axis=0)
    assert (spread > 0.6).all() and (spread < 1.6).all()
    outline = batch.labels % len(KINDS) == 0
    for name in ("log elongation", "log softness", "count"):
        np.testing.assert_array_equal(np.isnan(factor(batch, name)), ~outline)
    assert not np.isnan(factor(batch, "blur")).any()


def test_ground_colour_is_the_colour_at_the_edge(batch):
    rim = np.ones((32, 32), bool)
    rim[3:-3, 3:-3] = False
    edge = np.median(batch.images[:, rim].astype(float), axis=1)
    for channel, name in enumerate("RGB"):
        told = factor(batch, f"ground {name}")
        assert np.corrcoef(edge[:, channel], told)[0, 1] > 0.8


def test_blurred_pictures_are_smoother(corpus):
    """Strokes of one class: fine detail falls where the blur is strong."""
    drawn = corpus.batch(0, 400, 64, np.full(400, 1))
    smooth = np.fft.rfft2(drawn.images.astype(float).mean(-1))
    ring = np.abs(smooth)[:, 8:24, 8:24].mean(axis=(1, 2))
    blur = factor(drawn, "blur")
    sharp, soft = ring[blur < 0], ring[blur > 1]
    assert np.median(soft) < np.median(sharp)


def test_classes_can_be_told_apart_by_more_than_colour():
    """A linear rule on grey levels' spectra beats chance."""
    corpus = Corpus(12)
    labels = np.repeat(np.arange(12), 100)
    drawn = corpus.batch(0, len(labels), 32, labels)
    grey = drawn.images.astype(float).mean(-1)
    wave = np.abs(np.fft.rfft2(grey - grey.mean((1, 2), keepdims=True)))
    x = np.log(wave[:, :8, :8] + 1).reshape(len(labels), -1)
    even = np.arange(len(labels)) % 2 == 0
    rule = LinearDiscriminantAnalysis().fit(x[even], labels[even])
    # Chance is 1 in 12, give or take 0.011 on 600 pictures.
    assert rule.score(x[~even], labels[~even]) > 0.14


def test_too_few_classes_are_refused():
    with pytest.raises(ValueError, match="n_classes"):
        Corpus(2)
