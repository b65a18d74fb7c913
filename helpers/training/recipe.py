"""How networks are trained: optimizer, learning rates, augmentation, epochs.

Sources: CEFL paper, doi:10.1109/ACCESS.2020.2991237, section IV.B and Table
1; red-cell paper, doi:10.1007/s12652-020-01773-x, section 4.2; acne paper.
"""

from dataclasses import dataclass, replace

import keras
from keras import ops

from helpers.methods import Method
from helpers.models import ACNE_AUGMENTATION


class CoupledSGD(keras.optimizers.SGD):
    """SGD with momentum and L2 decay *in the gradient*, as in PyTorch.

    A step makes ``v = momentum v + (g + l2 w)``, then ``w = w - rate v``, for
    every variable: kernels, biases, BatchNorm's scales and offsets.  Keras'
    ``SGD(weight_decay=)`` is decoupled (arXiv:1711.05101): at momentum 0.9 it
    shrinks a weight by a tenth of that.  Keras' own momentum holds the rate
    inside v; here, as in PyTorch, a drop of the rate takes effect at once.

    For w = 1, g = 0.5, rate 0.1, momentum 0.9 and l2 = 0.1, two steps lead
    to 0.94 and to 0.8266.
    """

    def __init__(self, learning_rate=0.05, momentum=0.9, l2=1e-4):
        super().__init__(learning_rate, momentum)
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        dtype = variable.dtype
        velocity = self.momentums[self._get_variable_index(variable)]
        decayed = ops.cast(gradient, dtype) + self.l2 * variable
        self.assign(velocity, self.momentum * velocity + decayed)
        self.assign_sub(variable, ops.cast(learning_rate, dtype) * velocity)


@dataclass(frozen=True)
class Recipe:
    """All that a training needs beside data, methods and network.

    The defaults are ours, for a head on frozen features.

    Attributes
    ----------
    dense, dropout : of a Dense-Dropout-Dense head
    drops : epochs after which the learning rate is multiplied by ``drop_to``
    warm_up : epochs in which it grows: in the k-th of w it is k / w of itself
    optimizer : "adam" (Kingma and Ba, arXiv:1412.6980), without decay, or
        "sgd", see `CoupledSGD`
    momentum, l2 : of SGD; the first is Adam's beta 1, too
    augmentation : see `helpers.models.augmentation_layers`
    keep : the epoch whose weights count, "best" by macro-F1 on validation
        (for a method with late weights, among the epochs that have them) or
        "last", which needs no validation
    batch_norm_momentum : in fine-tuning; None keeps BatchNorm's statistics
        and scales as the weights give them; a number lets it train with that
        momentum, which a network without pre-training needs
    image_size, source : of a paper's recipe; pixels a side
    """

    dense: int = 128
    dropout: float = 0.3
    learning_rate: float = 1e-3
    batch_size: int = 32
    epochs: int = 20
    drops: tuple[int, ...] = ()
    drop_to: float = 0.1
    warm_up: int = 0
    optimizer: str = "adam"
    momentum: float = 0.9
    l2: float = 0.0
    augmentation: tuple[str, ...] = ()
    keep: str = "best"
    batch_norm_momentum: float | None = None
    image_size: int | None = None
    source: str = "ours"

    def __post_init__(self):
        for key, values in (
            ("optimizer", ("adam", "sgd")),
            ("keep", ("best", "last")),
        ):
            value = getattr(self, key)
            if value not in values:
                raise ValueError(f"{key}: {value!r} is none of {values}")
        if self.epochs < 1:
            raise ValueError(f"epochs: {self.epochs}; set EPOCHS to 1 or more")

    @property
    def of_head(self) -> dict[str, float]:
        """What a result names of a head's recipe."""
        keys = ("dense", "dropout", "learning_rate", "batch_size", "epochs")
        return {key: getattr(self, key) for key in keys}

    def shortened(self, epochs: int | None) -> "Recipe":
        """The same over so many epochs, drops and warm-up at their shares.

        None leaves it as it is.  The first epoch is never one of a drop.
        """
        if epochs is None:
            return self
        shares = [drop / self.epochs for drop in self.drops]
        drops = tuple(max(1, round(share * epochs)) for share in shares)
        warm_up = round(self.warm_up / self.epochs * epochs)
        return replace(self, epochs=epochs, drops=drops, warm_up=warm_up)

    def timed(self, method: Method) -> Method:
        """The method, its late class weights from the first drop on.

        Deferred re-weighting starts together with the first drop of the
        learning rate in Cao et al., NeurIPS 2019, arXiv:1906.07413, section
        4: epoch 160 of 200.  A method without late weights, and one in a
        recipe without drops, stays as it is.
        """
        if method.late_weights is None or not self.drops:
            return method
        share = self.drops[0] / self.epochs
        settings = {**method.settings, "late_from": share}
        return replace(method, late_from=share, settings=settings)

    @property
    def scheduled(self) -> bool:
        """Whether the learning rate changes while training."""
        return bool(self.drops or self.warm_up)

    def new_optimizer(self, steps: int) -> keras.optimizers.Optimizer:
        """The optimizer with its schedule, ``steps`` batches an epoch."""
        schedule = self.learning_rate
        ends = [*range(1, self.warm_up + 1)]
        rates = [schedule * end / self.warm_up for end in ends]
        ends += self.drops
        if ends:
            # Keras counts steps from 0 and keeps a rate with its boundary.
            ends = [end * steps - 1 for end in ends]
            drops = range(len(self.drops) + 1)
            rates += [schedule * self.drop_to**k for k in drops]
            schedules = keras.optimizers.schedules
            schedule = schedules.PiecewiseConstantDecay(ends, rates)
        if self.optimizer == "adam":
            return keras.optimizers.Adam(schedule, self.momentum)
        return CoupledSGD(schedule, self.momentum, self.l2)


FINE_TUNING = Recipe(
    learning_rate=1e-4, epochs=30, augmentation=ACNE_AUGMENTATION
)
"""Of a whole pretrained network, which the acne paper leaves unsaid."""

_CIFAR = Recipe(
    image_size=32,
    epochs=100,
    batch_size=128,
    optimizer="sgd",
    learning_rate=0.05,
    drops=(60, 80),
    l2=1e-4,
    augmentation=("padded crop", "flip"),
    keep="last",
    source="CEFL paper, section IV.B, Table 1",
)
_MUSHROOMS = replace(
    _CIFAR,
    image_size=224,
    batch_size=64,
    learning_rate=0.01,
    augmentation=("resized crop", "flip", "colour jitter", "rotation"),
)
RECIPES = {
    "cifar": _CIFAR,
    "long tail": replace(
        _CIFAR,
        epochs=200,
        learning_rate=0.1,
        drops=(160, 180),
        drop_to=0.01,
        warm_up=5,
        l2=2e-4,
        source="Cao et al. 2019 (arXiv:1906.07413), section 4.1",
    ),
    "crops": replace(_MUSHROOMS, epochs=60, drops=(30, 50)),
    "mushrooms": _MUSHROOMS,
    "digits": replace(
        _CIFAR,
        image_size=8,
        epochs=30,
        batch_size=32,
        drops=(18, 24),
        augmentation=(),
        source="ours: the CIFAR protocol, shortened for the embedded digits",
    ),
    "red cells": Recipe(
        image_size=224,
        epochs=100,
        keep="last",
        source="red-cell paper, doi:10.1007/s12652-020-01773-x, which does "
        "not say what the networks start from",
    ),
}
"""The papers' recipes by data set, and ours for the embedded digits.

"long tail" is the field's on CIFAR-10-LT.
"""


def recipe_name(dataset: str, protocol: str | None = None) -> str:
    """Name in `RECIPES` of the recipe that a data set is trained by.

    "crop" in the data set's name stands for the crop diseases, "mushroom" for
    the mushrooms.  Raises ValueError for another protocol, and where none is
    given for a data set that no paper trains on.
    """
    usual = {"digits": "digits", "cifar10": "cifar", "cifar100": "cifar"}
    name = usual.get(dataset) if protocol is None else protocol
    for word in ("crop", "mushroom"):
        if name is None and word in dataset.lower():
            name = f"{word}s"
    if name not in RECIPES:
        raise ValueError(
            f"PROTOCOL: {name!r} for the data set {dataset!r}; give one of "
            f"{sorted(RECIPES)}"
        )
    return name
