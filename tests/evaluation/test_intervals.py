"""Intervals against loops, known formulas and simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics

from helpers import evaluation as ev
from helpers.evaluation import intervals
from helpers.evaluation.intervals import bootstrap, differences


def random_case(seed, n=60, n_classes=4, n_seeds=3):
    rng = np.random.default_rng(seed)
    y_true = rng.integers(n_classes, size=n)
    y_true[:n_classes] = np.arange(n_classes)
    wrong = rng.random((n_seeds, n)) < 0.4
    guesses = rng.integers(n_classes, size=(n_seeds, n))
    return y_true, np.where(wrong, guesses, y_true)


def naive_bootstrap(y_true, runs, groups, n_boot, seed):
    """The same draws, one resample at a time, scored by scikit-learn."""
    rng = np.random.default_rng(seed)
    names = np.unique(groups)
    classes = np.array(
        [np.bincount(y_true[groups == g]).argmax() for g in names]
    )
    picks = {}
    for c in np.unique(classes):
        of_class = names[classes == c]
        size = (n_boot, len(of_class))
        picks[c] = of_class[rng.integers(len(of_class), size=size)]
    means = []
    for draw in range(n_boot):
        chosen = np.concatenate([picks[c][draw] for c in picks])
        rows = np.concatenate([np.flatnonzero(groups == g) for g in chosen])
        f1 = [
            metrics.f1_score(y_true[rows], run[rows], average="macro")
            for run in runs
        ]
        means.append(np.mean(f1))
    return np.array(means)


def test_bootstrap_agrees_with_a_naive_loop():
    y_true, a = random_case(2)
    b = random_case(3)[1]
    b = np.where(b == a, y_true, b)
    groups = np.sort(np.random.default_rng(0).integers(25, size=len(y_true)))
    slow = [naive_bootstrap(y_true, run, groups, 60, 7) for run in (a, b)]

    at = y_true, {"a": a, "b": b}
    table = bootstrap(*at, groups, 4, n_boot=60, seed=7)
    assert table["method"].tolist() == ["a", "b"]
    expected = np.quantile(slow, [0.025, 0.975], axis=1).T
    np.testing.assert_allclose(table[["low", "high"]], expected)
    row = differences(*at, "a", groups, 4, n_boot=60, seed=7).loc[0]
    expected = np.quantile(slow[1] - slow[0], [0.025, 0.975])
    assert [row["low"], row["high"]] == pytest.approx(expected)
    assert row["delta"] == pytest.approx(table["mean"].diff()[1])
    assert (row["method"], row["reference"]) == ("b", "a")


def test_bootstrap_describes_the_seeds():
    y_true, runs = random_case(4)
    each = ev.macro_f1_from(ev.confusion_matrix(y_true, runs, 4))
    table = bootstrap(y_true, {"a": runs, "one": runs[0]})
    many, one = table.iloc[0], table.iloc[1]
    assert many["mean"] == pytest.approx(each.mean())
    assert many["std"] == pytest.approx(each.std(ddof=1))
    assert np.isnan(one["std"])
    assert (many["n_seeds"], one["n_seeds"]) == (3, 1)
    units = len(y_true), np.bincount(y_true).min()
    assert (many["n_units"], many["fewest_units"]) == units
    again = bootstrap(y_true, {"a": runs, "one": runs[0]})
    pd.testing.assert_frame_equal(table, again)


def test_blocks_of_resamples_change_nothing_but_the_draws(monkeypatch):
    y_true, runs = random_case(5)
    whole = bootstrap(y_true, {"a": runs})
    monkeypatch.setattr(intervals, "_BLOCK", 7 * len(y_true))
    parts = bootstrap(y_true, {"a": runs})
    assert parts["mean"].equals(whole["mean"])
    ends = ["low", "high"]
    np.testing.assert_allclose(parts[ends], whole[ends], atol=0.015)


def test_metrics_of_each_class_give_one_row_a_class():
    y_true, runs = random_case(6)
    table = bootstrap(y_true, {"a": runs}, metric=ev.f1_from)
    assert table["class"].tolist() == [0, 1, 2, 3]
    each = ev.f1_from(ev.confusion_matrix(y_true, runs, 4))
    np.testing.assert_allclose(table["mean"], each.mean(axis=0))
    np.testing.assert_allclose(table["std"], each.std(axis=0, ddof=1))
    assert (table["low"] < table["mean"]).all()
    assert (table["mean"] < table["high"]).all()
    found = {"a": runs, "same": runs, "right": y_true[None].repeat(3, axis=0)}
    table = differences(y_true, found, "a", metric=ev.f1_from)
    assert table["method"].tolist() == ["same"] * 4 + ["right"] * 4
    assert table["class"].tolist() == [0, 1, 2, 3] * 2
    assert (table.loc[:3, ["delta", "low", "high"]] == 0).all(axis=None)
    expected = 1 - each.mean(axis=0)
    np.testing.assert_allclose(table.loc[4:, "delta"], expected)


def clustered_interval(rng, pretend_independent):
    """One test set of 4 copies a source; sources are right 3 times in 4."""
    classes = np.repeat([0, 1], 30)
    right = rng.random(60) < 0.75
    y_true = np.repeat(classes, 4)
    y_pred = np.where(np.repeat(right, 4), y_true, 1 - y_true)
    groups = None if pretend_independent else np.repeat(np.arange(60), 4)
    how = {"metric": ev.accuracy_from, "n_boot": 400}
    table = bootstrap(y_true, {"m": y_pred}, groups, **how)
    return table.loc[0, ["low", "high"]]


def test_interval_covers_the_truth_only_when_it_resamples_sources():
    rng = np.random.default_rng(11)
    covered = {False: 0, True: 0}
    for _ in range(200):
        for pretend in covered:
            low, high = clustered_interval(rng, pretend)
            covered[pretend] += low <= 0.75 <= high
    # 95 % wanted; the binomial standard deviation of 200 sets is about 1.5 %.
    assert 0.90 <= covered[False] / 200 <= 0.985
    assert covered[True] / 200 < 0.80


def test_one_group_in_a_class_gives_no_interval():
    y_true, groups = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 3, 3])
    row = bootstrap(y_true, {"a": y_true}, groups).loc[0]
    assert np.isnan([row["low"], row["high"]]).all()
    assert (row["mean"], row["fewest_units"]) == (1, 1)
    row = differences(y_true, {"a": y_true, "b": y_true}, "a", groups).loc[0]
    assert np.isnan([row["low"], row["high"]]).all()


def test_a_group_belongs_to_the_class_of_most_of_its_images():
    at = np.array([0, 0, 1, 1, 1, 0]), {"a": np.zeros(6, int)}
    for within, fewest in ((True, 1), (False, 2)):
        row = bootstrap(*at, [*"uuuvvv"], within_classes=within).loc[0]
        assert (row["n_units"], row["fewest_units"]) == (2, fewest)
    with pytest.raises(ValueError, match="groups must name that"):
        bootstrap(*at, [*"uuu"])


LABELS = np.repeat(np.arange(4), 50)


def right_at(rng, share, runs=3):
    """Whether a method is right that is so this often, (S, N)."""
    return rng.random((runs, len(LABELS))) < share


_RNG = np.random.default_rng(1)
HITS = {"a": right_at(_RNG, 0.85), "b": right_at(_RNG, 0.8)}


def test_hits_score_as_classes_do():
    """The same scores; the resamples are others of the same images."""
    found = {m: np.where(own, LABELS, 3 - LABELS) for m, own in HITS.items()}
    ends, accuracy = ["low", "high"], {"metric": ev.accuracy_from}
    for function, at, exact in (
        (bootstrap, (), ["mean", "std"]),
        (differences, "b", ["delta", "half_width", "above", "below"]),
    ):
        ours = function(LABELS, HITS, *at)
        theirs = function(LABELS, found, *at, **accuracy)
        np.testing.assert_allclose(ours[exact], theirs[exact])
        np.testing.assert_allclose(ours[ends], theirs[ends], atol=0.006)


def test_runs_are_counted_as_pairs():
    a = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0]], bool)
    b = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]], bool)
    row = differences([0, 0, 0], {"a": a, "b": b}, "b").loc[0]
    assert (row["above"], row["below"]) == (1, 1)
    assert row["delta"] == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="not equally many seeds"):
        differences([0, 0, 0], {"a": a, "b": b[:2]}, "b")


def test_half_width_is_the_t_interval_of_the_seeds():
    rng = np.random.default_rng(3)
    hits = {m: right_at(rng, 0.7, 5) for m in "ab"}
    by_run = hits["a"].mean(axis=1) - hits["b"].mean(axis=1)
    low, high = stats.t.interval(0.95, 4, by_run.mean(), stats.sem(by_run))
    row = differences(LABELS, hits, "b").loc[0]
    assert row["half_width"] == pytest.approx((high - low) / 2)
    expected = by_run.mean(), low, high
    assert ev.t_interval(by_run) == pytest.approx(expected)
    assert np.isnan(ev.t_interval([1.0])[1:]).all()


def test_pairs_are_compared_as_named():
    hits = HITS | {"good": right_at(np.random.default_rng(2), 0.97)}
    table = differences(LABELS, hits, pairs=[("good", "b"), ("a", "b")])
    assert table["method"].tolist() == ["good", "a"]
    assert table.loc[0, "low"] > 0.1


TRUTH = np.repeat([0, 1], 50)
_RNG = np.random.default_rng(0)
A, B = (
    np.where(_RNG.random((3, 100)) < share, TRUTH, 1 - TRUTH)
    for share in (0.7, 0.9)
)
BOTH = {"metric": ev.accuracy_from, "within_classes": False}
BOTH["over_seeds"] = True


def test_over_seeds_adds_the_half_widths_as_squares():
    row = differences(TRUTH, {"a": A, "b": B}, "a", **BOTH).loc[0]
    each = (B == TRUTH).mean(axis=1) - (A == TRUTH).mean(axis=1)
    assert row["delta"] == pytest.approx(each.mean())
    t = stats.ttest_1samp(each, 0).confidence_interval(0.95)
    assert row["half_width"] == pytest.approx(t.high - each.mean())
    # Accuracy is a mean over images, whose interval is well known.
    images = ((B == TRUTH) * 1.0 - (A == TRUTH)).mean(axis=0)
    persons = 1.96 * images.std() / np.sqrt(len(images))
    half = np.hypot(persons, row["half_width"])
    assert row["high"] - row["delta"] == pytest.approx(half, rel=0.08)
    assert row["delta"] - row["low"] == pytest.approx(half, rel=0.08)
    # A score is a difference to nothing right.
    wrong = np.broadcast_to(1 - TRUTH, A.shape)
    score = bootstrap(TRUTH, {"a": A}, **BOTH).loc[0]
    gain = differences(TRUTH, {"a": A, "0": wrong}, "0", **BOTH).loc[0]
    assert score["mean"] == pytest.approx(gain["delta"])
    for name in ("low", "high", "half_width"):
        assert score[name] == pytest.approx(gain[name])


def test_one_seed_leaves_the_groups():
    row = differences(TRUTH, {"a": A[0], "b": B[0]}, "a", **BOTH).loc[0]
    assert np.isnan(row["half_width"])
    assert row["low"] < row["delta"] < row["high"]


def test_mean_interval_counts_each_group_once():
    values = np.array([[1.0, 1, 1, 4, np.nan]] * 2)
    found = ev.mean_interval(values, np.array(["a", "a", "a", "b", "c"]))
    half = stats.t.ppf(0.975, 1) * 3 / 2
    assert found == pytest.approx((2.5, 2.5 - half, 2.5 + half))


def test_p_agrees_with_the_interval_and_counts_resamples():
    rng = np.random.default_rng(3)
    b = (rng.random(80) < 0.6).astype(int)
    for n in (2, 6, 20):
        a = b.copy()
        a[np.flatnonzero(b == 0)[:n]] = 1
        a[np.flatnonzero(b == 1)[:2]] = 0
        row = differences(np.ones(80, int), {"a": a == 1, "b": b == 1}, "b")
        low, high, p = row.loc[0, ["low", "high", "p"]]
        assert (p < 0.05) == (low > 0 or high < 0)
    # All resamples on one side: 2 (1 + 0) / (1 + 2000).
    right = np.ones(40, bool)
    row = differences([0] * 40, {"a": right, "b": ~right}, "b").loc[0]
    assert row["p"] == pytest.approx(2 / 2001)
    same = differences([0] * 40, {"a": right, "b": right}, "b").loc[0]
    assert same["p"] == 1


def test_holm_by_hand():
    """0.01 x 4, 0.02 x 3, then 0.06 again, as 0.04 is below it."""
    adjusted = ev.holm([0.02, 0.3, 0.01, 0.02])
    assert adjusted == pytest.approx([0.06, 0.3, 0.04, 0.06])
    assert ev.holm([0.6, 0.5]) == pytest.approx([1, 1])
    assert ev.holm([0.04]) == pytest.approx([0.04])
    found = ev.holm([np.nan, 0.01])
    assert np.isnan(found[0]) and found[1] == pytest.approx(0.02)
