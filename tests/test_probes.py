"""Linear probes: what is tuned on what, and tables with known answers."""

import numpy as np
import pytest

from helpers import probes
from helpers.probes import few_per_class, pixel_features, probe, probe_table
from helpers.splits import Split, folds


@pytest.fixture(scope="module")
def blobs():
    """Three classes of twenty sources with five copies each."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 100)
    units = np.repeat(np.arange(60), 5)
    good = rng.normal(size=(300, 4)) + 2.5 * np.eye(4)[labels]
    return labels, units, {"good": good, "noise": rng.normal(size=(300, 4))}


def test_few_per_class_keeps_the_test_half_apart():
    labels = np.repeat(np.arange(4), 30)
    draws = few_per_class(labels, 5, 3)
    assert len(draws) == 3
    for draw in draws:
        np.testing.assert_array_equal(draw.test, draws[0].test)
        assert np.bincount(labels[draw.train]).tolist() == [5] * 4
        assert np.bincount(labels[draw.val]).tolist() == [5] * 4
        parts = np.concatenate([draw.train, draw.val, draw.test])
        assert len(np.unique(parts)) == len(parts) == 4 * (5 + 5 + 15)
    assert set(draws[0].train) != set(draws[1].train)
    with pytest.raises(ValueError, match="per_class"):
        few_per_class(labels, 8, 1)


def test_folds_are_pooled_by_seed(blobs):
    labels, units, features = blobs
    runs = [run for seed in (0, 1) for run in folds(labels, units, 4, seed)]
    rows, predicted = probe(features["good"], labels, runs)
    np.testing.assert_array_equal(rows, np.arange(300))
    assert predicted.shape == (2, 300)
    assert (predicted == labels).mean() > 0.8


def test_regularisation_is_chosen_on_validation_not_on_test(
    blobs, monkeypatch
):
    """Labels of the test part do not change what is predicted."""
    labels, units, features = blobs
    run = folds(labels, units, 4, 0)[0]
    _, before = probe(features["noise"], labels, [run])
    other = labels.copy()
    other[run.test] = (other[run.test] + 1) % 3
    _, after = probe(features["noise"], other, [run])
    np.testing.assert_array_equal(before, after)
    fits = []
    real = probes._fit
    monkeypatch.setattr(
        probes, "_fit", lambda *a: fits.append(a[-1]) or real(*a)
    )
    probe(features["noise"], labels, [run])
    assert fits == list(probes.PENALTIES)
    fits.clear()
    probe(features["noise"], labels, [run], (0.1,))
    assert fits == [0.1]


def test_table_tells_good_features_from_noise(blobs):
    labels, units, features = blobs
    runs = folds(labels, units, 4, 0)
    table = probe_table(features, labels, runs, units, "good")
    table = table.set_index("backbone")
    assert table.loc["good", "difference"] == 0
    assert table.loc["noise", "difference_low"] > 0.2
    gap = table.loc["good", "macro_f1"] - table.loc["noise", "macro_f1"]
    assert table.loc["noise", "difference"] == pytest.approx(gap)
    assert table.loc["good", "n_units"] == 60


def test_tiny_features_are_standardised(blobs):
    labels, units, features = blobs
    run = Split(
        "all",
        np.arange(0, 300, 2),
        np.arange(1, 300, 4),
        np.arange(3, 300, 4),
        0,
    )
    _, tiny = probe((features["good"] * 1e-7).astype("float32"), labels, [run])
    _, plain = probe(features["good"].astype("float32"), labels, [run])
    assert (tiny == plain).mean() > 0.98


def test_pixel_features_are_the_pictures_shrunk():
    images = np.zeros((2, 32, 32, 3), np.uint8)
    images[1, :2, :2] = 200
    found = pixel_features(images)
    assert found.shape == (2, 768)
    assert found[1, :3].tolist() == [200] * 3 and found[1, 3:].sum() == 0
