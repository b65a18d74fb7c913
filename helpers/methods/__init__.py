"""Everything that is compared: losses, resampling, post-hoc decisions.

`METHODS` is the one registry; a method is a row of it.

To add a loss, subclass `CrossEntropy` in `methods.losses` and override
``per_sample(truth, logits)``: one value a sample, from logits. To add a
method, a loss together with a sampler, late class weights, a cosine classifier
or a decision rule, add a row to `METHODS` in `methods.registry` (name, label,
colour, source, and how to make the loss from the training counts) and name it
in a notebook's list of methods. Figures and tables pick up label and colour.
The head bank (`training.train_heads`) trains every method; whole networks,
trained one after another, take all but those with a cosine classifier, which
are refused by name.
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
    IDEAS,
    METHODS,
    PAPER_LOSSES,
    Method,
    focal,
    logit_adjusted,
    logit_adjusted_post_hoc,
)
