"""How far off a grade is."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, mean_absolute_error

from helpers.evaluation.metrics import bootstrap, confusion
from helpers.evaluation.ordinal import (
    macro_grade_error_from,
    mean_grade_error_from,
    quadratic_kappa_from,
)

RNG = np.random.default_rng(0)
TRUE = RNG.choice(4, 200, p=(0.6, 0.2, 0.15, 0.05))
SEEDS = np.clip(TRUE + RNG.integers(-1, 2, (3, 200)), 0, 3)
TABLES = confusion(TRUE, SEEDS, 4)


def test_kappa_is_scikit_learns():
    expected = [
        cohen_kappa_score(TRUE, one, weights="quadratic") for one in SEEDS
    ]
    np.testing.assert_allclose(quadratic_kappa_from(TABLES), expected)
    # A grade that is in the truth alone, and one that is nowhere.
    seen = np.where(TRUE == 2, 1, TRUE)
    found = quadratic_kappa_from(confusion(TRUE, seen, 5))
    expected = cohen_kappa_score(
        TRUE, seen, weights="quadratic", labels=range(5)
    )
    assert found == pytest.approx(expected)


def test_kappa_at_its_ends():
    right = np.diag([5, 3, 2])
    assert quadratic_kappa_from(right) == pytest.approx(1)
    by_chance = np.outer([6, 3, 1], [1, 2, 2])
    assert quadratic_kappa_from(by_chance) == pytest.approx(0)
    reversed_grades = np.array([[0, 0, 4], [0, 0, 0], [4, 0, 0]])
    assert quadratic_kappa_from(reversed_grades) == pytest.approx(-1)


@pytest.mark.filterwarnings("error")
def test_one_grade_only_counts_as_chance():
    assert quadratic_kappa_from(np.diag([7, 0, 0])) == 0


def test_grade_errors_are_mean_absolute_errors():
    expected = [mean_absolute_error(TRUE, one) for one in SEEDS]
    np.testing.assert_allclose(mean_grade_error_from(TABLES), expected)
    rows = [np.flatnonzero(grade == TRUE) for grade in range(4)]
    of_grades = [
        np.mean([mean_absolute_error(TRUE[r], one[r]) for r in rows])
        for one in SEEDS
    ]
    np.testing.assert_allclose(macro_grade_error_from(TABLES), of_grades)


def test_a_grade_that_is_absent_does_not_count():
    table = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 3]])
    assert macro_grade_error_from(table) == pytest.approx((0.5 + 0.5) / 2)
    assert mean_grade_error_from(table) == pytest.approx(3 / 6)


def test_intervals_take_them():
    table = bootstrap(
        TRUE, {"a": SEEDS}, None, 4, metric=quadratic_kappa_from, n_boot=50
    )
    mean = quadratic_kappa_from(TABLES).mean()
    assert table["mean"][0] == pytest.approx(mean)
    assert table.low[0] < mean < table.high[0]
