"""Scores of predicted classes, with intervals over independent groups.

Metrics from confusion matrices, the cluster bootstrap, paired differences,
tests, calibration, decisions by cost, and the scores of a detector.
"""

from helpers.evaluation.calibration import (
    calibration_error,
    calibration_floor,
    calibration_scores,
    fit_calibration,
    least_cost,
    mean_cost_from,
    reliability,
)
from helpers.evaluation.intervals import (
    Interval,
    bootstrap,
    differences,
    half_width,
    holm,
    mean_interval,
    t_interval,
)
from helpers.evaluation.metrics import (
    accuracy_from,
    balanced_accuracy_from,
    confusion_matrix,
    f1_from,
    macro_f1_from,
    per_class,
    precision_from,
    quadratic_kappa_from,
    recall_from,
    score_rows,
    scores,
)
