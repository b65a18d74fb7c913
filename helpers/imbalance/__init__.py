"""How unequal classes are, and what is done to the data about it.

Counts, the imbalance ratio and class weights; resampling; splits into
training, validation and test set, and their leakage.
"""

from helpers.imbalance.counts import (
    balanced_weights,
    class_counts,
    effective_number_weights,
    head_medium_tail,
    hold_out,
    imbalance_ratio,
    long_tail,
    power_law_counts,
    resample,
    scaled_counts,
    subsample,
)
from helpers.imbalance.splits import Split, cut_to, folds, long_tail_folds
