"""Paired intervals against `evaluation.metrics`, and many of them at once."""

import numpy as np
import pytest
from scipy import stats

from helpers.evaluation import metrics as evaluation
from helpers.evaluation import paired
from helpers.evaluation.paired import hit_differences, hit_scores

N_CLASSES, PER_CLASS = 4, 50
LABELS = np.repeat(np.arange(N_CLASSES), PER_CLASS)


def predictions(rng, share, runs=3):
    """Classes told by a method that is right this often, (R, T)."""
    right = rng.random((runs, len(LABELS))) < share
    other = (LABELS + rng.integers(1, N_CLASSES, right.shape)) % N_CLASSES
    return np.where(right, LABELS, other)


@pytest.fixture(scope="module")
def told():
    rng = np.random.default_rng(1)
    # Half of the pictures of class 3 are hard for a.
    a = predictions(rng, np.where(LABELS == 3, 0.5, 0.9))
    return {"a": a, "b": predictions(rng, 0.8)}


def test_scores_are_those_of_the_general_bootstrap(told):
    hits = {name: own == LABELS for name, own in told.items()}
    ours = hit_scores(hits, LABELS)
    theirs = evaluation.bootstrap(
        LABELS, told, None, N_CLASSES, evaluation.accuracy_from
    )
    assert ours["method"].tolist() == ["a", "b"]
    np.testing.assert_allclose(ours["mean"], theirs["mean"])
    # Other resamples of the same pictures.
    for end in ("low", "high"):
        np.testing.assert_allclose(ours[end], theirs[end], atol=0.004)


def test_scores_of_some_classes_are_their_mean_recall(told):
    hits = {"a": told["a"] == LABELS}
    inside = LABELS >= 2
    ours = hit_scores(hits, LABELS, inside).iloc[0]

    def recall(tables):
        return evaluation.recall_from(tables)[..., 2:].mean(axis=-1)

    theirs = evaluation.bootstrap(
        LABELS, {"a": told["a"]}, None, N_CLASSES, recall
    ).iloc[0]
    for name in ("mean", "low", "high"):
        assert ours[name] == pytest.approx(theirs[name], abs=0.006)


def test_differences_are_those_of_the_general_bootstrap(told):
    hits = {name: own == LABELS for name, own in told.items()}
    ours = hit_differences(hits, [("a", "b")], LABELS).iloc[0]
    theirs = evaluation.bootstrap_difference(
        LABELS,
        told["b"],
        told["a"],
        None,
        N_CLASSES,
        evaluation.accuracy_from,
    )
    assert ours["delta"] == pytest.approx(theirs.delta)
    assert ours["low"] == pytest.approx(theirs.low, abs=0.005)
    assert ours["high"] == pytest.approx(theirs.high, abs=0.005)


def test_runs_are_counted_as_pairs():
    a = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0]], bool)
    b = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]], bool)
    table = hit_differences({"a": a, "b": b}, [("a", "b")], [0, 0, 0])
    row = table.iloc[0]
    assert (row["above"], row["below"]) == (1, 1)
    assert row["delta"] == pytest.approx(0, abs=1e-12)


def test_equal_methods_are_never_clear(told):
    hits = {name: told["a"] == LABELS for name in ("a", "same")}
    row = hit_differences(hits, [("a", "same")], LABELS).iloc[0]
    assert (row["delta"], row["low"], row["high"]) == (0, 0, 0)
    assert not row["clear"]


def test_luck_is_the_t_interval_of_the_runs():
    rng = np.random.default_rng(3)
    hits = {m: rng.random((5, len(LABELS))) < 0.7 for m in "ab"}
    by_run = hits["a"].mean(axis=1) - hits["b"].mean(axis=1)
    low, high = stats.t.interval(0.95, 4, by_run.mean(), stats.sem(by_run))
    row = hit_differences(hits, [("a", "b")], LABELS).iloc[0]
    assert row["luck"] == pytest.approx((high - low) / 2)


def test_luck_leaves_out_what_strata_explain(told):
    a, b = (told[name] == LABELS for name in "ab")
    worse = np.zeros_like(b)  # the runs of another training part
    hits = {"a": np.concatenate([a, a]), "b": np.concatenate([b, worse])}
    apart, alike = (
        hit_differences(hits, [("a", "b")], LABELS, strata).iloc[0]
        for strata in ([0, 0, 0, 1, 1, 1], None)
    )
    assert apart["luck"] < alike["luck"] / 5
    one_each = hit_differences(hits, [("a", "b")], LABELS, range(6)).iloc[0]
    assert np.isnan(one_each["luck"])
    assert not one_each["clear"]


def test_a_difference_within_luck_is_not_clear():
    """One run of three wins by far: the pictures say yes, the seeds no."""
    a = np.ones((3, len(LABELS)), bool)
    b = a.copy()
    b[0, ::2] = False
    row = hit_differences({"a": a, "b": b}, [("a", "b")], LABELS).iloc[0]
    assert row["low"] > 0.1
    assert row["luck"] > row["delta"]
    assert not row["clear"]


def test_clear_is_stricter_than_one_interval(monkeypatch):
    """20 methods of one skill: single intervals err now and then."""
    monkeypatch.setattr(paired, "_luck", lambda runs, strata: 0)
    single, clear, studies = 0, 0, 60
    for study in range(studies):
        rng = np.random.default_rng(study)
        hits = {str(m): rng.random((1, len(LABELS))) < 0.8 for m in range(21)}
        pairs = [(str(m), "0") for m in range(1, 21)]
        table = hit_differences(hits, pairs, LABELS, seed=study)
        single += ((table["low"] > 0) | (table["high"] < 0)).any()
        clear += table["clear"].any()
    # About a third of the studies, and about a twentieth of them.
    assert single > studies / 4
    assert clear < studies / 8


def test_a_large_difference_is_clear(told):
    rng = np.random.default_rng(2)
    good = predictions(rng, 0.97) == LABELS
    hits = {name: own == LABELS for name, own in told.items()}
    table = hit_differences(
        {**hits, "good": good}, [("good", "b"), ("a", "b")], LABELS
    )
    assert table.loc[0, "clear"]
    assert table.loc[0, "low"] > 0.1
