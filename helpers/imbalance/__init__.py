"""How unequal classes are, and what is done to the data about it.

Counts, the imbalance ratio and class weights; resampling; splits into
training, validation and test set, and their leakage.
"""

from helpers.imbalance.counts import (
    balanced_weights,
    class_counts,
    effective_number_weights,
    head_medium_tail,
    imbalance_ratio,
    power_law_counts,
    scaled_counts,
)
from helpers.imbalance.sampling import hold_out, long_tail, resample, subsample
from helpers.imbalance.splits import Split, folds, rebuild
