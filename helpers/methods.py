"""The one registry of methods: what each is called, drawn as and made of.

A method says how the imbalance is met; all else in a comparison stays the
same.  To add one, add its loss to `helpers.losses` and a row here.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from helpers.imbalance import balanced_weights
from helpers.losses import CrossEntropy, WeightedCrossEntropy


@dataclass(frozen=True)
class Method:
    """One way to train on imbalanced classes.

    Attributes
    ----------
    name : key in `METHODS` and in every results file
    label : what figures and tables call it
    colour : hex colour, the same in every figure of the book
    source : paper and section or equation
    loss : training counts, int (..., C), to a Keras loss on logits
    """

    name: str
    label: str
    colour: str
    source: str
    loss: Callable[[np.ndarray], keras.losses.Loss]


METHODS = {
    method.name: method
    for method in (
        Method(
            name="cross_entropy",
            label="A: cross-entropy",
            colour="#0072B2",
            source="acne paper, scenario A (section 2.4.1)",
            loss=lambda counts: CrossEntropy(),
        ),
        Method(
            name="weighted_cross_entropy",
            label="B: class-weighted",
            colour="#D55E00",
            source="acne paper, scenario B (section 2.4.2, eq. 1)",
            loss=lambda counts: WeightedCrossEntropy(balanced_weights(counts)),
        ),
    )
}
