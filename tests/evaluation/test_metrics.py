"""Scores against scikit-learn, and by hand where it has none."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from helpers import evaluation as ev
from helpers.evaluation.metrics import precision_from

Y_TRUE, *RUNS = np.random.default_rng(1).integers(4, size=(4, 60))


def test_scores_agree_with_scikit_learn():
    tables = ev.confusion_matrix(Y_TRUE, RUNS, 4)
    keys = {"labels": range(4), "average": "macro", "zero_division": 0}
    for run, table in zip(RUNS, tables, strict=True):
        expected = metrics.confusion_matrix(Y_TRUE, run, labels=range(4))
        np.testing.assert_array_equal(table, expected)
        expected = {
            "accuracy": metrics.accuracy_score(Y_TRUE, run),
            "balanced_accuracy": metrics.balanced_accuracy_score(Y_TRUE, run),
        }
        for name in ("f1", "precision", "recall"):
            score = getattr(metrics, f"{name}_score")
            expected[f"macro_{name}"] = score(Y_TRUE, run, **keys)
        assert ev.scores(Y_TRUE, run, 4) == pytest.approx(expected)


def test_absent_classes_score_zero_as_in_scikit_learn():
    # Class 2 is only predicted, class 3 only present, class 4 neither.
    y_true = np.array([0, 0, 1, 1, 3])
    y_pred = np.array([0, 2, 1, 0, 1])
    keys = {"labels": range(5), "zero_division": 0}
    table = ev.confusion_matrix(y_true, y_pred, 5)
    for ours, theirs in (
        (precision_from, metrics.precision_score),
        (ev.recall_from, metrics.recall_score),
        (ev.f1_from, metrics.f1_score),
    ):
        expected = theirs(y_true, y_pred, average=None, **keys)
        np.testing.assert_allclose(ours(table), expected)
    expected = metrics.f1_score(y_true, y_pred, average="macro", **keys)
    assert ev.macro_f1_from(table) == pytest.approx(expected)
    # scikit-learn warns that class 2 is not in y_true, and leaves it out.
    with pytest.warns(UserWarning, match="not in y_true"):
        expected = metrics.balanced_accuracy_score(y_true, y_pred)
    assert ev.balanced_accuracy_from(table) == pytest.approx(expected)


def test_per_class_is_the_classification_report():
    names = ("a", "b", "c", "d")
    table = ev.per_class(Y_TRUE, RUNS[0], names)
    report = metrics.classification_report(
        Y_TRUE, RUNS[0], target_names=names, output_dict=True
    )
    expected = pd.DataFrame(report)[list(names)].T
    expected = expected.rename(columns={"f1-score": "f1"})
    np.testing.assert_array_equal(table, expected[list(table)])
    assert table["support"].dtype == np.int64
    rows = ev.score_rows(Y_TRUE, RUNS, names, [5, 6, 7])
    assert list(rows) == ["seed", "metric", "class", "value"]
    assert len(rows) == 3 * (5 + 3 * 4)
    first = rows[(rows["seed"] == 5) & (rows["metric"] == "f1")]
    assert first["class"].tolist() == list(names)
    np.testing.assert_array_equal(first["value"], table["f1"])


@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        ([0, 1], [0, 2], "0 to 1"),
        ([0, 1], [0, -1], "-1 to 0"),
        ([0, 1], [0, 1, 1], r"\(2,\) and \(3,\)"),
        ([0, 1], [0.0, 1.0], "argmax"),
        ([], [], "N > 0"),
    ],
)
def test_bad_predictions_are_refused(y_true, y_pred, message):
    with pytest.raises(ValueError, match=message):
        ev.confusion_matrix(np.array(y_true), np.array(y_pred), 2)


RNG = np.random.default_rng(0)
GRADES = RNG.choice(4, 200, p=(0.6, 0.2, 0.15, 0.05))
GRADED = np.clip(GRADES + RNG.integers(-1, 2, (3, 200)), 0, 3)


@pytest.mark.parametrize(
    ("predicted", "n"),
    # A grade in the truth alone, and one that is nowhere.
    [*((run, 4) for run in GRADED), (np.where(GRADES == 2, 1, GRADES), 5)],
)
def test_kappa_is_scikit_learns(predicted, n):
    keys = {"weights": "quadratic", "labels": range(n)}
    expected = metrics.cohen_kappa_score(GRADES, predicted, **keys)
    table = ev.confusion_matrix(GRADES, predicted, n)
    assert ev.quadratic_kappa_from(table) == pytest.approx(expected)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("table", "kappa"),
    [
        (np.diag([5, 3, 2]), 1),
        (np.outer([6, 3, 1], [1, 2, 2]), 0),  # by chance
        (np.fliplr(np.diag([4, 0, 4])), -1),
        (np.diag([7, 0, 0]), 0),  # one grade only
    ],
)
def test_kappa_at_its_ends(table, kappa):
    assert ev.quadratic_kappa_from(table) == pytest.approx(kappa)
