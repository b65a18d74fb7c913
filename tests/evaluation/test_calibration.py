"""Calibration and decisions against hand-worked cases and scikit-learn."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn import metrics
from sklearn.calibration import calibration_curve

from helpers import evaluation as ev


@pytest.fixture(scope="module")
def drawn():
    """Logits whose softmax is right, and classes drawn from it."""
    rng = np.random.default_rng(0)
    logits = 1.5 * rng.normal(size=(20_000, 4))
    p = softmax(logits, axis=1)
    y_true = (rng.random((len(p), 1)) > p.cumsum(axis=1)).sum(axis=1)
    return logits, p, y_true


def test_ece_of_a_known_case():
    """Two bins: 3 of 4 right at 0.6, and 2 of 4 at 0.9."""
    confidence = [0.9, 0.6, 0.9, 0.6, 0.9, 0.6, 0.9, 0.6]
    correct = [1, 1, 1, 1, 0, 1, 0, 0]
    error = ev.calibration_error(confidence, correct, bins=2)
    assert error == pytest.approx((0.15 + 0.4) / 2)
    one = ev.calibration_error(confidence, correct, bins=1)
    assert one == pytest.approx(0.75 - 5 / 8)
    two = np.array([correct, np.zeros(8)])
    both = ev.calibration_error(confidence, two, bins=2)
    assert both == pytest.approx([0.275, 0.75])
    # Fewer images than bins: a bin each.
    assert ev.calibration_error([0.8, 0.7], [1, 0]) == pytest.approx(0.45)

    table = ev.reliability(confidence, correct, bins=2)
    assert table["confidence"].tolist() == pytest.approx([0.6, 0.9])
    assert table["share"].tolist() == [0.75, 0.5]
    assert table["images"].tolist() == [4, 4]


def test_floor_is_what_chance_alone_gives():
    # One image at 0.5 is off by 0.5 whatever happens.
    assert ev.calibration_floor([0.5]) == 0.5
    # Of n images in one bin: E|mean - 0.5| = sqrt(1 / (2 pi n)).
    n = 400
    floor = ev.calibration_floor(np.full(15 * n, 0.5), draws=200)
    assert floor == pytest.approx(np.sqrt(1 / (2 * np.pi * n)), rel=0.05)
    sure = ev.calibration_floor(np.ones(50))
    assert sure == 0


def test_scores_are_scikit_learns(drawn):
    _, p, y_true = drawn
    found = ev.calibration_scores(y_true, p)
    brier = metrics.brier_score_loss(y_true, p, scale_by_half=False)
    assert found["brier"] == pytest.approx(brier)
    assert found["nll"] == pytest.approx(metrics.log_loss(y_true, p))
    # These probabilities are right, and the error is at its floor.
    assert found["ece"] < 1.5 * found["ece_floor"]
    assert found["classwise_ece"] < 0.01

    hit, top = p.argmax(axis=1) == y_true, p.max(axis=1)
    theirs = calibration_curve(hit, top, n_bins=15, strategy="quantile")
    ours = ev.reliability(top, hit)
    np.testing.assert_allclose(ours["share"], theirs[0], atol=2e-3)
    np.testing.assert_allclose(ours["confidence"], theirs[1], atol=2e-3)


def test_scores_of_seeds_are_averaged_and_shapes_are_checked():
    y_true = np.array([0, 1, 1])
    sure, even = np.eye(2)[y_true], np.full((3, 2), 0.5)
    found = ev.calibration_scores(y_true, np.stack([sure, even]))
    assert found["brier"] == pytest.approx(0.25)
    assert found["nll"] == pytest.approx(np.log(2) / 2)
    # The wrong class with certainty is dear, and not infinite.
    assert 30 < ev.calibration_scores(y_true, 1 - sure)["nll"] < 40
    with pytest.raises(ValueError, match=r"expected probabilities \(3, C\)"):
        ev.calibration_scores(y_true, even[:2])


def test_temperature_recovers_a_known_scaling(drawn):
    logits, _, y_true = drawn
    for factor in (0.5, 1, 3):
        fit = ev.fit_calibration(factor * logits, y_true)
        assert fit.temperature == pytest.approx(factor, rel=0.03)
        assert not fit.offsets.any()
        z = fit(factor * logits)
        assert (z.argmax(axis=1) == logits.argmax(axis=1)).all()


def test_offsets_undo_another_prior(drawn):
    logits, _, y_true = drawn
    added = np.array([2.0, 0, -1, 0.5])
    fit = ev.fit_calibration(2 * (logits + added), y_true, offsets=True)
    assert fit.temperature == pytest.approx(2, rel=0.03)
    moved = fit.offsets + added
    np.testing.assert_allclose(moved - moved.mean(), 0, atol=0.1)
    # The mean probability of each class is its share, up to the ridge.
    means = softmax(fit(2 * (logits + added)), axis=1).mean(axis=0)
    np.testing.assert_allclose(means, np.bincount(y_true) / 20_000, atol=1e-4)


def test_a_fit_stays_finite_and_better_where_validation_is_all_right():
    y_true = np.arange(12) % 3
    for sign in (1, -1):
        logits = sign * np.eye(3)[y_true]
        fit = ev.fit_calibration(logits, y_true, offsets=True)
        assert np.isfinite([fit.temperature, *fit.offsets]).all()
        before, after = (
            -log_softmax(z, axis=1)[np.arange(12), y_true].mean()
            for z in (logits, fit(logits))
        )
        assert after < before


@pytest.mark.parametrize("shape", [(3,), (2, 2), (0, 2)])
def test_a_fit_names_the_shapes_it_wants(shape):
    with pytest.raises(ValueError, match=r"logits \(N, C\) and y_true"):
        ev.fit_calibration(np.zeros(shape), [0, 1, 0][: max(shape[0], 1) + 1])


@pytest.mark.parametrize("k", [1, 2, 10, 50])
def test_two_classes_are_decided_at_the_threshold(k):
    p = np.linspace(0, 1, 1001)
    decided = ev.least_cost(np.c_[1 - p, p], [[0, 1], [k, 0]])
    off = np.abs(p - 1 / (1 + k)) > 1e-9  # not exactly on it
    np.testing.assert_array_equal(decided[off], (p > 1 / (1 + k))[off])


def test_equal_costs_are_the_largest_probability(drawn):
    _, p, _ = drawn
    decided = ev.least_cost(p, 1 - np.eye(4))
    np.testing.assert_array_equal(decided, p.argmax(axis=1))
    # Costs of a row multiply its class's probability.
    decided = ev.least_cost(p, (1 - np.eye(4)) * [[1], [1], [5], [1]])
    np.testing.assert_array_equal(decided, (p * [1, 1, 5, 1]).argmax(axis=1))


def test_mean_cost_is_a_metric_of_confusions():
    costs = np.array([[0, 1], [10, 0]])
    y_true, y_pred = np.array([0, 0, 0, 1]), np.array([0, 1, 1, 0])
    table = ev.confusion_matrix(y_true, np.stack([y_pred, y_true]), 2)
    metric = ev.mean_cost_from(costs)
    assert metric(table).tolist() == [3, 0]
    assert metric(table)[0] == costs[y_true, y_pred].mean()
    row = ev.differences(
        y_true, {"a": y_pred, "b": y_true}, "b", metric=metric, n_boot=50
    )
    assert row.loc[0, "delta"] == 3
