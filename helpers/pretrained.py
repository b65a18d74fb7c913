"""ResNet-50 and ResNet-101 of Keras, pre-trained, with a new last layer.

The CEFL paper fine-tunes them on crops and mushrooms (section IV.B).  Keras
ships no weights for its ResNet-18 and ResNet-34: see `helpers.residual` for
these, untrained.
"""

import keras
from keras import layers

from helpers.models import set_batch_normalization_momentum

_BUILDERS = {
    50: keras.applications.ResNet50,
    101: keras.applications.ResNet101,
}

# What keras.applications.resnet.preprocess_input takes off: B, G, R, 0-255.
_MEAN = (103.939, 116.779, 123.68)


def pretrained_resnet(depth: int, weights: str | None = "imagenet"):
    """A way to build networks for `helpers.end_to_end.train_one_by_one`.

    The input scaling that the weights expect, blue, green, red without their
    means, is part of the network, so that it is fed pictures 0-255 in RGB.
    BatchNorm's moving averages keep 0.9 of themselves a step, as in the
    paper's framework; Keras' own number is 0.99.

    Parameters
    ----------
    depth : 50 or 101
    weights : "imagenet" (downloaded by Keras: trained on ImageNet, where the
        paper does not say on what), the path of a weights file without top,
        or None, untrained

    Returns
    -------
    A function from (classes, (height, width, 3), seed) to a model from
    pictures (N, height, width, 3), 0-255, to logits (N, classes), float32;
    ``seed`` draws the last layer, and all of it where weights is None.

    Raises
    ------
    ValueError
        For another depth.
    """
    if depth not in _BUILDERS:
        raise ValueError(f"depth: {depth} not in {sorted(_BUILDERS)}")

    def network(n_classes: int, image_shape: tuple, seed: int):
        keras.utils.set_random_seed(seed)
        backbone = _BUILDERS[depth](
            include_top=False,
            weights=weights,
            input_shape=image_shape,
            pooling="avg",
        )
        set_batch_normalization_momentum(backbone, 0.9)
        inputs = keras.Input(image_shape, name="picture")
        x = layers.Rescaling(1.0, [-m for m in _MEAN])(inputs[..., ::-1])
        logits = layers.Dense(n_classes, dtype="float32")(backbone(x))
        return keras.Model(inputs, logits, name=f"resnet{depth}")

    return network
