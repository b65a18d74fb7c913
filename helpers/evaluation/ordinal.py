"""Scores of grades: how far off a grade is, not only whether it is right.

Everything starts from confusion matrices ``(..., C, C)``, true grade on the
rows, mildest grade first, as in `evaluation.metrics`: its intervals take any
of these functions as their ``metric``.
"""

import numpy as np


def quadratic_kappa_from(confusions: np.ndarray) -> np.ndarray:
    """Quadratically weighted kappa: (..., C, C) -> (...).

    Cohen, *Weighted kappa*, Psychological Bulletin 70, 1968,
    doi:10.1037/h0026256: 1 - sum(w O) / sum(w E) with w = (i - j)^2, the
    counts O and the counts E that the same true and predicted grades would
    give by chance.  1 is all right, 0 no better than chance.  Where truth and
    predictions hold one and the same grade only, chance is right as well and
    kappa counts as 0; scikit-learn's is NaN.
    """
    distance = _steps(confusions) ** 2
    total = confusions.sum(axis=(-2, -1), keepdims=True)
    chance = confusions.sum(-1, keepdims=True) * confusions.sum(
        -2, keepdims=True
    )
    missed = (distance * confusions).sum(axis=(-2, -1))
    by_chance = (distance * _ratio(chance, total)).sum(axis=(-2, -1))
    return _ratio(by_chance - missed, by_chance)


def mean_grade_error_from(confusions: np.ndarray) -> np.ndarray:
    """Mean of |predicted - true grade|, in grades: (..., C, C) -> (...).

    A picture counts as one, so that the commonest grade counts most.
    """
    missed = (_steps(confusions) * confusions).sum(axis=(-2, -1))
    return _ratio(missed, confusions.sum(axis=(-2, -1)))


def macro_grade_error_from(confusions: np.ndarray) -> np.ndarray:
    """Mean over the true grades of their mean |predicted - true grade|.

    Baccianella, Esuli & Sebastiani, *Evaluation measures for ordinal
    regression*, ISDA 2009, doi:10.1109/ISDA.2009.230: each grade that is
    present counts as one.  In grades; (..., C, C) -> (...).
    """
    pictures = confusions.sum(axis=-1)
    of_grade = _ratio((_steps(confusions) * confusions).sum(-1), pictures)
    return _ratio(of_grade.sum(axis=-1), (pictures > 0).sum(axis=-1))


def _steps(confusions):
    """How many grades lie between the true and the predicted: (C, C)."""
    grade = np.arange(confusions.shape[-1])
    return np.abs(grade[:, None] - grade)


def _ratio(part, whole):
    """Part over whole, and 0 for nothing of nothing."""
    return part / np.where(whole == 0, 1, whole)
