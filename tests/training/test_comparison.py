"""The order of batches, and how the outcome of a training reads."""

import numpy as np
import pytest

from helpers.evaluation import fit_calibration
from helpers.imbalance.counts import resample
from helpers.imbalance.splits import Split
from helpers.training.comparison import Trained, epoch_batches, epoch_scores

ROWS = np.random.default_rng(0).permutation(400)
RUN = Split("random", ROWS[:256], ROWS[256:320], ROWS[320:], 0)


def test_every_row_once_before_any_twice():
    rows = epoch_batches(np.zeros(400), [RUN], 2, 32, n_views=3)
    assert rows.shape == (16, 1, 32)
    first = np.sort(rows[:8].ravel() % 400)
    np.testing.assert_array_equal(first, np.sort(RUN.train))
    assert set(rows.ravel() // 400) == {0, 1, 2}


@pytest.mark.parametrize("sampler", ["over", "under"])
def test_samplers_make_up_the_stream(sampler):
    generator = np.random.default_rng(0)
    labels = generator.choice(5, 400, p=[0.4, 0.2, 0.2, 0.15, 0.05])
    rows = epoch_batches(labels, [RUN], 40, 20, sampler=sampler)
    assert len(rows) == 40 * 13
    pool = RUN.train[resample(labels[RUN.train], sampler, RUN.seed)]
    stream = rows[:, 0].ravel()
    assert set(stream) == set(pool) <= set(RUN.train)
    np.testing.assert_array_equal(np.sort(stream[: len(pool)]), np.sort(pool))
    shares = np.bincount(labels[stream]) / len(stream)
    np.testing.assert_allclose(shares, 0.2, atol=0.01)


def test_scores_are_those_of_plain_cross_entropy():
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]))
    scores = epoch_scores(np.array([0, 2]), logits)
    assert scores["loss"] == pytest.approx(-np.log([0.5, 0.1]).mean())
    assert scores["accuracy"] == 0.5
    assert scores["macro_f1"] == pytest.approx(1 / 3)


def test_folds_are_pooled_row_by_row():
    """Each row's logits come from the run that kept it for test."""
    everything = np.arange(6)
    none = everything[:0]
    runs = [
        Split("by source", none, none, np.array(rows), 7)
        for rows in ([4, 0], [1, 5], [2, 3])
    ]
    logits = np.zeros((1, 3, 6, 2), "float32")
    logits += np.arange(3)[None, :, None, None]
    outcome = Trained(("cross_entropy",), runs, logits, None, None, 0)
    rows, pooled = outcome.tested("cross_entropy", "by source")
    np.testing.assert_array_equal(rows, everything)
    np.testing.assert_array_equal(pooled[0, :, 0], [0, 1, 2, 2, 0, 1])
    with pytest.raises(ValueError, match="published"):
        outcome.tested("cross_entropy", "published")
    other = Trained(
        ("cross_entropy",), [*runs[:2], runs[0]], logits, None, None, 0
    )
    with pytest.raises(ValueError, match="same rows once"):
        other.tested("cross_entropy", "by source")


def test_logits_are_calibrated_run_by_run_on_validation():
    generator = np.random.default_rng(0)
    z = generator.normal(size=(1, 2, 400, 3))
    labels = (z[0, 0] + generator.gumbel(size=(400, 3))).argmax(axis=-1)
    z[0, 1] = 3 * z[0, 0]
    runs = RUN, Split("random", ROWS[:100], ROWS[100:], ROWS[:0], 1)
    trained = Trained(("cross_entropy",), runs, z, None, None, 0)
    found, fits = trained.calibrated(labels)
    assert fits.shape == (1, 2, 4) and not fits[..., 1:].any()
    val = runs[1].val
    own = fit_calibration(z[0, 1, val], labels[val])
    assert fits[0, 1, 0] == own.temperature == pytest.approx(3, rel=0.3)
    np.testing.assert_allclose(found.logits[0, 1], own(z[0, 1]))
    assert found.runs == runs and trained.logits is z
    assert trained.calibrated(labels, offsets=True)[1][..., 1:].all()
