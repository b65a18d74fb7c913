"""Scores of predicted classes, with intervals over independent groups.

Metrics from confusion matrices, the cluster bootstrap, paired differences,
tests, and the scores of a detector.
"""

from helpers.evaluation.metrics import (
    Metric,
    accuracy_from,
    balanced_accuracy_from,
    bootstrap,
    bootstrap_difference,
    confusion,
    f1_from,
    macro_f1_from,
    mcnemar,
    pareto,
    per_class,
    prediction_interval,
    recall_from,
    score_rows,
    scores,
)
from helpers.evaluation.ordinal import (
    macro_grade_error_from,
    mean_grade_error_from,
    quadratic_kappa_from,
)
from helpers.evaluation.paired import hit_differences, hit_scores
