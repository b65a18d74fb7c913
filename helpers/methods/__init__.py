"""Everything that is compared: losses, resampling, post-hoc decisions.

`METHODS` is the one registry; a method is a row of it.
"""

from helpers.methods.losses import (
    CEFL,
    CEFL2,
    COSINE_SCALE,
    LDAM,
    BalancedSoftmax,
    CrossEntropy,
    Focal,
    LabelCountBalance,
    LogitAdjusted,
    LossTotalBalance,
    WeightedCrossEntropy,
    check_labels,
)
from helpers.methods.post_hoc import prior_offsets, tuned_offsets
from helpers.methods.registry import (
    METHODS,
    PAPER_LOSSES,
    Method,
    focal,
    logit_adjusted,
    logit_adjusted_post_hoc,
)
