"""How whole networks are trained: optimiser, learning rates, augmentation.

Sources: CEFL paper, doi:10.1109/ACCESS.2020.2991237, section IV.B and Table
1; red-cell paper, doi:10.1007/s12652-020-01773-x, section 4.2.
"""

from dataclasses import dataclass, replace

import keras
from keras import layers, ops

from helpers.methods.registry import Method
from helpers.models.layers import compilable

_PACKAGE = "imbalance_workbook"


@keras.saving.register_keras_serializable(package=_PACKAGE)
class CoupledSGD(keras.optimizers.SGD):
    """SGD with momentum and L2 decay *in the gradient*, as in PyTorch.

    A step makes ``v = momentum v + (g + l2 w)``, then ``w = w - rate v``, for
    every variable: kernels, biases, BatchNorm's scales and offsets.  So a
    weight without a gradient shrinks by ``rate l2 / (1 - momentum)`` of
    itself a step in the long run.  Keras' ``SGD(weight_decay=)`` is decoupled
    (Loshchilov and Hutter, arXiv:1711.05101): it shrinks by ``rate l2``, at
    momentum 0.9 a tenth of that.

    Keras' own momentum holds the rate inside v, so that after a drop of the
    rate the next steps are still those of the old one; here, as in PyTorch,
    a drop takes effect at once.

    Parameters
    ----------
    learning_rate : float or a Keras schedule
    momentum : float, between 0 and 1
    l2 : float, not negative; at 0 there is no decay

    For w = 1, g = 0.5, rate 0.1, momentum 0.9 and l2 = 0.1, two steps lead
    to 0.94 and to 0.8266.

    Raises
    ------
    ValueError
        Where momentum or l2 is out of its range.
    """

    def __init__(
        self,
        learning_rate=0.05,
        momentum=0.9,
        l2=1e-4,
        name="coupled_sgd",
        **kwargs,
    ):
        super().__init__(learning_rate, momentum, name=name, **kwargs)
        if not 0 < momentum < 1:
            raise ValueError(f"momentum: {momentum} is not between 0 and 1")
        if not l2 >= 0:
            raise ValueError(f"l2: {l2} is negative")
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        dtype = variable.dtype
        velocity = self.momentums[self._get_variable_index(variable)]
        decayed = ops.cast(gradient, dtype) + self.l2 * variable
        self.assign(velocity, self.momentum * velocity + decayed)
        self.assign_sub(variable, ops.cast(learning_rate, dtype) * velocity)

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}


@dataclass(frozen=True)
class Protocol:
    """One of the paper's ways to train: no warm-up, the last epoch counts.

    Attributes
    ----------
    networks : their names in the paper
    pretrained : whether the paper's start from ImageNet's weights; what a
        run loads is for `helpers.training.network_of` to say
    image_size : pixels a side
    epochs, batch_size : of the training
    learning_rate : of the first epoch
    drops : epochs after which the rate is divided by ten
    augmentation : rows of the paper's Table 1 that change a picture at
        random, see `augmentation_layers`
    momentum, l2 : see `CoupledSGD`
    source : where it is told
    """

    networks: tuple[str, ...]
    pretrained: bool
    image_size: int
    epochs: int
    batch_size: int
    learning_rate: float
    drops: tuple[int, ...]
    augmentation: tuple[str, ...]
    momentum: float = 0.9
    l2: float = 1e-4
    source: str = "CEFL paper, section IV.B, Table 1"

    def shortened(self, epochs: int | None) -> "Protocol":
        """The same over so many epochs, its drops at the same shares.

        None leaves it as it is.  The first epoch is never one of a drop.
        """
        if epochs is None:
            return self
        shares = [drop / self.epochs for drop in self.drops]
        drops = tuple(max(1, round(share * epochs)) for share in shares)
        return replace(self, epochs=epochs, drops=drops)

    def timed(self, method: Method) -> Method:
        """The method, its late class weights from the first drop on.

        Deferred re-weighting starts together with the first drop of the
        learning rate in Cao et al., NeurIPS 2019, arXiv:1906.07413, section
        4: epoch 160 of 200.  Of 100 epochs with drops at 60 and 80 it starts
        at 60; weights that came at 80 would meet a rate that is a hundredth
        of the first.  A method without late weights, and one in a protocol
        without drops, stays as it is.
        """
        if method.late_weights is None or not self.drops:
            return method
        share = self.drops[0] / self.epochs
        settings = {**method.settings, "late_from": share}
        return replace(method, late_from=share, settings=settings)

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0.

        For ``keras.callbacks.LearningRateScheduler``, or to draw it.
        """
        passed = sum(epoch >= drop for drop in self.drops)
        return self.learning_rate / 10**passed

    def optimizer(self, steps_per_epoch: int) -> CoupledSGD:
        """The optimiser with its schedule, ``steps_per_epoch`` batches each.

        Keras counts steps from 0 and keeps a rate up to *and with* its
        boundary: hence the minus one.
        """
        schedule = self._schedule(steps_per_epoch)
        return CoupledSGD(schedule, self.momentum, self.l2)

    def _schedule(self, steps_per_epoch):
        if not self.drops:
            return self.learning_rate
        return keras.optimizers.schedules.PiecewiseConstantDecay(
            [drop * steps_per_epoch - 1 for drop in self.drops],
            [self.rate(epoch) for epoch in (0, *self.drops)],
        )


class AdamProtocol(Protocol):
    """The same with Adam (Kingma and Ba, arXiv:1412.6980), without decay."""

    def optimizer(self, steps_per_epoch: int) -> keras.optimizers.Adam:
        """Adam with the schedule of `Protocol`; ``momentum`` is its beta 1."""
        schedule = self._schedule(steps_per_epoch)
        return keras.optimizers.Adam(schedule, self.momentum)


_RESNETS = ("ResNet-18", "ResNet-34", "ResNet-50", "ResNet-101")
_PHOTOGRAPHS = ("resized crop", "flip", "colour jitter", "rotation")

PROTOCOLS = {
    "cifar": Protocol(
        networks=("ResNet-18",),
        pretrained=False,
        image_size=32,
        epochs=100,
        batch_size=128,
        learning_rate=0.05,
        drops=(60, 80),
        augmentation=("padded crop", "flip"),
    ),
    "crops": Protocol(
        networks=_RESNETS,
        pretrained=True,
        image_size=224,
        epochs=60,
        batch_size=64,
        learning_rate=0.01,
        drops=(30, 50),
        augmentation=_PHOTOGRAPHS,
    ),
    "mushrooms": Protocol(
        networks=_RESNETS,
        pretrained=True,
        image_size=224,
        epochs=100,
        batch_size=64,
        learning_rate=0.01,
        drops=(60, 80),
        augmentation=_PHOTOGRAPHS,
    ),
    "digits": Protocol(
        networks=("small_resnet",),
        pretrained=False,
        image_size=8,
        epochs=30,
        batch_size=32,
        learning_rate=0.05,
        drops=(18, 24),
        augmentation=(),
        source="ours: the CIFAR protocol, shortened for the embedded digits",
    ),
    "red cells": AdamProtocol(
        networks=("ResNet-50", "DenseNet-121"),
        pretrained=False,
        image_size=224,
        epochs=100,
        batch_size=32,
        learning_rate=0.001,
        drops=(),
        augmentation=(),
        l2=0.0,
        source="red-cell paper, doi:10.1007/s12652-020-01773-x, which does "
        "not say what the networks start from",
    ),
}
"""The paper's protocols by data set, ours for the embedded digits, and that
of the red-cell paper."""


def protocol_of(dataset: str, given: str | None = None) -> str:
    """Name in `PROTOCOLS` of the protocol that a data set is trained by.

    Parameters
    ----------
    dataset : a name; "crop" in it stands for the crop diseases, "mushroom"
        for the mushrooms, whose epochs and drops differ
    given : what the reader asked for, or None

    Raises
    ------
    ValueError
        For another given name, and for a data set that no paper trains on
        where none is given.
    """
    if given is not None:
        if given not in PROTOCOLS:
            raise ValueError(f"PROTOCOL: {given!r} not in {sorted(PROTOCOLS)}")
        return given
    usual = {"digits": "digits", "cifar10": "cifar", "cifar100": "cifar"}
    if dataset in usual:
        return usual[dataset]
    for word, name in (("crop", "crops"), ("mushroom", "mushrooms")):
        if word in dataset.lower():
            return name
    raise ValueError(
        f"PROTOCOL: the paper has none for the data set {dataset!r}; give "
        f"one of {sorted(PROTOCOLS)}"
    )


def augmentation_layers(names: tuple[str, ...], seed: int) -> list:
    """Layers for pictures 0-255, each drawing anew for every picture.

    The paper's Table 1 names the kinds, not their strengths; these are the
    usual ones:

    padded crop : 4 black pixels around, then a crop of the old size
    resized crop : 8 to 100 % of the area, sides 3:4 to 4:3, resized back
    flip : left to right, every second picture
    vertical flip : upside down, every second picture
    colour jitter : brightness by up to 20 % of the range; contrast and
        saturation times 0.8 to 1.2; hue by up to 2 % of the circle
    rotation : by up to 15 degrees, black behind

    Raises ValueError for another name.
    """
    made = {
        "padded crop": lambda s: PaddedCrop(4, seed=s),
        "resized crop": lambda s: ResizedCrop(seed=s),
        "flip": lambda s: layers.RandomFlip("horizontal", seed=s),
        # Not RandomFlip("horizontal_and_vertical"): it flips both or neither.
        "vertical flip": lambda s: layers.RandomFlip("vertical", seed=s),
        "colour jitter": lambda s: layers.RandomColorJitter(
            value_range=(0, 255),
            brightness_factor=0.2,
            # One number would only raise the contrast, times 1 to 1.2.
            contrast_factor=(0.2, 0.2),
            # A factor f multiplies the saturation by f / (1 - f).
            saturation_factor=(0.8 / 1.8, 1.2 / 2.2),
            # Half of the factor is the share of the circle.
            hue_factor=0.04,
            seed=s,
        ),
        "rotation": lambda s: layers.RandomRotation(
            15 / 360, fill_mode="constant", seed=s
        ),
    }
    if unknown := sorted(set(names) - set(made)):
        raise ValueError(f"names: {unknown} not in {sorted(made)}")
    return [
        compilable(made[name](seed + place))
        for place, name in enumerate(names)
    ]


class _Window(layers.Layer):
    """Shows each picture through a window of its own, while training.

    Keras' ``RandomCrop`` draws one place for a whole batch.
    """

    interpolation, fill_mode = "bilinear", "nearest"

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = keras.random.SeedGenerator(seed)

    def call(self, pictures, training=False):
        if not training:
            return pictures
        count = ops.shape(pictures)[0]
        height, width = pictures.shape[1:3]
        scale_y, top, scale_x, left = self.windows(count, height, width)
        none = ops.zeros((count,))
        # Pixels are squares: the first one's centre is half a pixel in.
        moves = (
            (scale_x, none, left + (scale_x - 1) / 2)
            + (none, scale_y, top + (scale_y - 1) / 2)
            + (none, none)
        )
        return ops.image.affine_transform(
            pictures,
            ops.stack(moves, axis=-1),
            interpolation=self.interpolation,
            fill_mode=self.fill_mode,
            data_format="channels_last",
        )

    def uniform(self, count, low, high):
        return keras.random.uniform((count,), low, high, seed=self.seed)


class PaddedCrop(_Window):
    """Moves each picture by whole pixels, black coming in.

    The same as padding on all sides, then cropping to the old size at random
    (He et al. 2016, arXiv:1512.03385, section 4.2: four pixels).
    """

    interpolation, fill_mode = "nearest", "constant"

    def __init__(self, padding, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        self.padding = padding

    def windows(self, count, height, width):
        ones = ops.ones((count,))
        top, left = (
            ops.floor(self.uniform(count, 0, 2 * self.padding + 1))
            - self.padding
            for _ in range(2)
        )
        return ones, top, ones, left


class ResizedCrop(_Window):
    """Takes a random part of each picture, resized to the old size.

    8 to 100 % of the area, sides in a ratio of 3:4 to 4:3, evenly on a
    logarithmic scale (Szegedy et al. 2015, arXiv:1409.4842, section 6).  A
    part that is too long for the picture is cut off there.
    """

    def windows(self, count, height, width):
        area = self.uniform(count, 0.08, 1)
        log = ops.log(ops.convert_to_tensor(4 / 3))
        ratio = ops.exp(log * self.uniform(count, -1, 1))
        scale_y = ops.minimum(1.0, ops.sqrt(area / ratio))
        scale_x = ops.minimum(1.0, ops.sqrt(area * ratio))
        top = self.uniform(count, 0, 1) * (1 - scale_y) * height
        left = self.uniform(count, 0, 1) * (1 - scale_x) * width
        return scale_y, top, scale_x, left
