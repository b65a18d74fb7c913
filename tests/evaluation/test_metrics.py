"""Scores against scikit-learn, intervals against loops and simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics

from helpers.evaluation import metrics as ev


def _random_case(seed, n=60, n_classes=4, n_seeds=3):
    rng = np.random.default_rng(seed)
    y_true = rng.integers(n_classes, size=n)
    y_true[:n_classes] = np.arange(n_classes)
    wrong = rng.random((n_seeds, n)) < 0.4
    guesses = rng.integers(n_classes, size=(n_seeds, n))
    return y_true, np.where(wrong, guesses, y_true)


@pytest.mark.parametrize("seed", range(5))
def test_scores_agree_with_scikit_learn(seed):
    y_true, runs = _random_case(seed)
    tables = ev.confusion(y_true, runs, 4)
    assert tables.shape == (3, 4, 4)
    for run, table in zip(runs, tables, strict=True):
        np.testing.assert_array_equal(
            table, metrics.confusion_matrix(y_true, run, labels=range(4))
        )
        ours = ev.scores(y_true, run, 4)
        keys = {"labels": range(4), "average": "macro", "zero_division": 0}
        assert ours == pytest.approx(
            {
                "accuracy": metrics.accuracy_score(y_true, run),
                "balanced_accuracy": metrics.balanced_accuracy_score(
                    y_true, run
                ),
                "macro_f1": metrics.f1_score(y_true, run, **keys),
                "macro_precision": metrics.precision_score(
                    y_true, run, **keys
                ),
                "macro_recall": metrics.recall_score(y_true, run, **keys),
            }
        )


def test_absent_classes_score_zero_as_in_scikit_learn():
    # Class 2 is only predicted, class 3 only present, class 4 neither.
    y_true = np.array([0, 0, 1, 1, 3])
    y_pred = np.array([0, 2, 1, 0, 1])
    keys = {"labels": range(5), "zero_division": 0}
    table = ev.confusion(y_true, y_pred, 5)
    for ours, theirs in (
        (ev.precision_from, metrics.precision_score),
        (ev.recall_from, metrics.recall_score),
        (ev.f1_from, metrics.f1_score),
    ):
        np.testing.assert_allclose(
            ours(table), theirs(y_true, y_pred, average=None, **keys)
        )
    assert ev.macro_f1_from(table) == pytest.approx(
        metrics.f1_score(y_true, y_pred, average="macro", **keys)
    )
    # scikit-learn warns that class 2 is not in y_true, and leaves it out.
    with pytest.warns(UserWarning, match="not in y_true"):
        expected = metrics.balanced_accuracy_score(y_true, y_pred)
    assert ev.balanced_accuracy_from(table) == pytest.approx(expected)


def test_per_class_is_the_classification_report():
    y_true, runs = _random_case(1)
    names = ("a", "b", "c", "d")
    table = ev.per_class(y_true, runs[0], names)
    report = metrics.classification_report(
        y_true, runs[0], target_names=names, output_dict=True
    )
    for name in names:
        expected = report[name]
        assert table.loc[name, "f1"] == expected["f1-score"]
        for column in ("precision", "recall", "support"):
            assert table.loc[name, column] == expected[column]
    assert table["support"].dtype == np.int64
    np.testing.assert_allclose(
        table["f1"], ev.f1_from(ev.confusion(y_true, runs[0], 4))
    )


@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        ([0, 1], [0, 2], "0 to 1"),
        ([0, 1], [0, -1], "-1 to 0"),
        ([0, 1], [0, 1, 1], "N = 2"),
        ([0, 1], [0.0, 1.0], "argmax"),
        ([], [], "N > 0"),
    ],
)
def test_bad_predictions_are_refused(y_true, y_pred, message):
    with pytest.raises(ValueError, match=message):
        ev.confusion(np.array(y_true), np.array(y_pred), 2)


def _naive_bootstrap(y_true, runs, units, n_boot, seed):
    """The same draws, one resample at a time, scored by scikit-learn."""
    rng = np.random.default_rng(seed)
    names = np.unique(units)
    classes = np.array(
        [np.bincount(y_true[units == u]).argmax() for u in names]
    )
    picks = {}
    for c in np.unique(classes):
        of_class = names[classes == c]
        size = (n_boot, len(of_class))
        picks[c] = of_class[rng.integers(len(of_class), size=size)]
    means = []
    for draw in range(n_boot):
        chosen = np.concatenate([picks[c][draw] for c in picks])
        rows = np.concatenate([np.flatnonzero(units == u) for u in chosen])
        means.append(
            np.mean(
                [
                    metrics.f1_score(
                        y_true[rows],
                        run[rows],
                        average="macro",
                        labels=range(4),
                        zero_division=0,
                    )
                    for run in runs
                ]
            )
        )
    return np.array(means)


def test_bootstrap_agrees_with_a_naive_loop():
    y_true, a = _random_case(2)
    b = _random_case(3)[1]
    b = np.where(b == a, y_true, b)
    units = np.sort(np.random.default_rng(0).integers(25, size=len(y_true)))
    slow_a = _naive_bootstrap(y_true, a, units, 60, seed=7)
    slow_b = _naive_bootstrap(y_true, b, units, 60, seed=7)

    table = ev.bootstrap(
        y_true, {"a": a, "b": b}, units, 4, n_boot=60, seed=7
    ).set_index("method")
    for method, slow in (("a", slow_a), ("b", slow_b)):
        np.testing.assert_allclose(
            table.loc[method, ["low", "high"]].astype(float),
            np.quantile(slow, [0.025, 0.975]),
        )
    delta = ev.bootstrap_difference(y_true, a, b, units, 4, n_boot=60, seed=7)
    np.testing.assert_allclose(
        [delta.low, delta.high],
        np.quantile(slow_b - slow_a, [0.025, 0.975]),
    )
    assert delta.delta == pytest.approx(
        table.loc["b", "mean"] - table.loc["a", "mean"]
    )


def test_bootstrap_describes_the_seeds():
    y_true, runs = _random_case(4)
    each = ev.macro_f1_from(ev.confusion(y_true, runs, 4))
    table = ev.bootstrap(y_true, {"a": runs, "one": runs[0]}, None, 4)
    many, one = table.iloc[0], table.iloc[1]
    assert many["mean"] == pytest.approx(each.mean())
    assert many["std"] == pytest.approx(each.std(ddof=1))
    assert (many["n_seeds"], one["n_seeds"]) == (3, 1)
    assert np.isnan(one["std"])
    assert many["n_units"] == len(y_true)
    assert many["fewest_units"] == np.bincount(y_true).min()
    again = ev.bootstrap(y_true, {"a": runs, "one": runs[0]}, None, 4)
    pd.testing.assert_frame_equal(table, again)


def test_blocks_of_resamples_change_nothing_but_the_draws(monkeypatch):
    y_true, runs = _random_case(5)
    whole = ev.bootstrap(y_true, {"a": runs}, None, 4)
    monkeypatch.setattr(ev, "_BLOCK", 7 * len(y_true))
    parts = ev.bootstrap(y_true, {"a": runs}, None, 4)
    assert parts["mean"].equals(whole["mean"])
    np.testing.assert_allclose(
        parts[["low", "high"]], whole[["low", "high"]], atol=0.015
    )


def test_metrics_of_each_class_give_one_row_a_class():
    y_true, runs = _random_case(6)
    table = ev.bootstrap(y_true, {"a": runs}, None, 4, metric=ev.f1_from)
    assert table["class"].tolist() == [0, 1, 2, 3]
    each = ev.f1_from(ev.confusion(y_true, runs, 4))
    np.testing.assert_allclose(table["mean"], each.mean(axis=0))
    np.testing.assert_allclose(table["std"], each.std(axis=0, ddof=1))
    assert (table["low"] < table["mean"]).all()
    assert (table["mean"] < table["high"]).all()
    same = ev.bootstrap_difference(
        y_true, runs, runs, None, 4, metric=ev.f1_from
    )
    for values in (same.delta, same.low, same.high):
        np.testing.assert_array_equal(values, np.zeros(4))


def _clustered_accuracy_interval(rng, pretend_independent):
    """One test set of 4 copies a source; sources are right 3 times in 4."""
    classes = np.repeat([0, 1], 30)
    right = rng.random(60) < 0.75
    y_true = np.repeat(classes, 4)
    y_pred = np.where(np.repeat(right, 4), y_true, 1 - y_true)
    units = None if pretend_independent else np.repeat(np.arange(60), 4)
    table = ev.bootstrap(
        y_true,
        {"m": y_pred},
        units,
        2,
        metric=ev.accuracy_from,
        n_boot=400,
    )
    return table.loc[0, ["low", "high"]]


def test_interval_covers_the_truth_only_when_it_resamples_sources():
    rng = np.random.default_rng(11)
    covered = {False: 0, True: 0}
    for _ in range(200):
        for pretend in covered:
            low, high = _clustered_accuracy_interval(rng, pretend)
            covered[pretend] += low <= 0.75 <= high
    # 95 % wanted; the binomial spread over 200 sets is about 1.5 %.
    assert 0.90 <= covered[False] / 200 <= 0.985
    assert covered[True] / 200 < 0.80


def test_paired_difference_is_narrower_than_the_two_scores_apart():
    rng = np.random.default_rng(5)
    y_true = np.repeat([0, 1, 2], 60)
    a = np.where(rng.random(180) < 0.7, y_true, (y_true + 1) % 3)
    b = np.where(rng.random(180) < 0.05, y_true, a)
    one = ev.bootstrap(y_true, {"a": a}, None, 3).loc[0]
    delta = ev.bootstrap_difference(y_true, a, b, None, 3)
    assert delta.low <= delta.delta <= delta.high
    assert delta.high - delta.low < (one["high"] - one["low"]) / 2


def test_one_unit_in_a_class_gives_no_interval():
    y_true, units = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 3, 3])
    table = ev.bootstrap(y_true, {"a": y_true}, units, 2)
    assert table.loc[0, ["low", "high"]].isna().all()
    assert table.loc[0, "mean"] == 1
    assert table.loc[0, "fewest_units"] == 1
    delta = ev.bootstrap_difference(y_true, y_true, y_true, units, 2)
    assert np.isnan([delta.low, delta.high]).all()


def test_unit_belongs_to_the_class_of_most_of_its_pictures():
    y_true = np.array([0, 0, 1, 1, 1, 0])
    units = np.array(["u", "u", "u", "v", "v", "v"])
    unit, members = ev._units_by_class(y_true, units, 2)
    assert unit.tolist() == [0, 0, 0, 1, 1, 1]
    assert [m.tolist() for m in members] == [[0], [1]]
    with pytest.raises(ValueError, match="units must name the unit"):
        ev.bootstrap(y_true, {"a": y_true}, units[:3], 2)


def test_mcnemar_by_hand():
    # b alone is right 8 times, a alone twice: p = 2 P(X <= 2), X ~ B(10, ½).
    y_true = np.zeros(20, dtype=int)
    a = np.array([1] * 8 + [0] * 2 + [0] * 6 + [1] * 4)
    b = np.array([0] * 8 + [1] * 2 + [0] * 6 + [1] * 4)
    result = ev.mcnemar(y_true, a, b)
    assert (result.b_only, result.a_only) == (8, 2)
    assert result.p == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert ev.mcnemar(y_true, b, a).p == result.p
    assert ev.mcnemar(y_true, a, a) == (0, 0, 1.0)
    with pytest.raises(ValueError, match="one seed at a time"):
        ev.mcnemar(y_true, np.stack([a, a]), b)


def test_pareto_says_which_classes_lose():
    names = pd.Index(["x", "y"], name="class")
    before = pd.DataFrame({"f1": [0.5, 0.6], "recall": [0.5, 0.5]}, names)
    after = pd.DataFrame({"f1": [0.5, 0.7], "recall": [0.9, 0.4]}, names)
    table = ev.pareto(before, after[::-1]).set_index("metric")
    assert table.loc["f1"].tolist() == [1, 1, 0, "", True]
    assert table.loc["recall"].tolist() == [1, 0, 1, "y", False]
    # A change of nothing is no improvement.
    assert not ev.pareto(before, before)["improvement"].any()
    with pytest.raises(ValueError, match="to compare for y"):
        ev.pareto(before, after.loc[["x"]])


def test_prediction_interval_by_hand():
    # n = 4, mean 5, s² = (9 + 1 + 1 + 9) / 3, t(0.975, 3) = 3.1824.
    half = 3.182446 * np.sqrt(20 / 3) * np.sqrt(1.25)
    low, high = ev.prediction_interval([2, 4, 6, 8])
    assert (low, high) == pytest.approx((5 - half, 5 + half), rel=1e-6)
    narrow = ev.prediction_interval([2, 4, 6, 8], level=0.5)
    assert narrow[1] - 5 == pytest.approx(
        half * stats.t.ppf(0.75, 3) / 3.182446
    )
    with pytest.raises(ValueError, match="at least 2 runs"):
        ev.prediction_interval([0.8])
