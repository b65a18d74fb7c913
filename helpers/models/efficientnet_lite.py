"""EfficientNet-Lite0 and Lite1, with their ImageNet weights.

EfficientNet (Tan & Le, arXiv:1905.11946) made for small devices by its
authors (github.com/tensorflow/tpu, efficientnet/lite): no squeeze-and-
excitation, ReLU6 in place of swish, stem and head of one width for all.
"""

import keras
import numpy as np
from keras import layers

from helpers.models.weights import PACKAGED, read_state_dict

REPEATS = {
    "EfficientNet-Lite0": (1, 2, 2, 3, 3, 4, 1),
    "EfficientNet-Lite1": (1, 3, 3, 4, 4, 5, 1),
}
KERNELS = (3, 3, 5, 3, 5, 5, 3)
STRIDES = (1, 2, 2, 2, 1, 2, 1)
WIDTHS = (16, 24, 40, 80, 112, 192, 320)
STEM, HEAD, EXPANSION = 32, 1280, 6


def efficientnet_lite(
    name: str,
    weights: str | None,
    image_shape: tuple,
    include_top: bool = False,
) -> keras.Model:
    """EfficientNet-Lite in Keras, layers named as in Keras' EfficientNets.

    Parameters
    ----------
    name : "EfficientNet-Lite0" or "EfficientNet-Lite1"
    weights : "imagenet", read from the package of that name, or None for
        random ones, drawn from Keras' global seed
    image_shape : (height, width, 3)
    include_top : True adds ImageNet's 1,000 classes (logits)

    Returns
    -------
    A model from images (N, height, width, 3), 0-255, RGB, which it scales to
    (x - 127) / 128, to features (N, 1280) or logits (N, 1000).  Raises
    FileNotFoundError or ValueError where the weights are missing or others.
    """
    inputs = keras.Input(image_shape)
    x = layers.Rescaling(1 / 128, -127 / 128, name="rescaling")(inputs)
    x = _convolution(x, STEM, "stem_", kernel=3, stride=2)
    stages = zip(REPEATS[name], WIDTHS, KERNELS, STRIDES, strict=True)
    for stage, (repeats, width, kernel, stride) in enumerate(stages, start=1):
        for repeat in "abcde"[:repeats]:
            prefix = f"block{stage}{repeat}_"
            x = _block(x, width, kernel, stride, prefix)
            stride = 1
    x = _convolution(x, HEAD, "top_")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    if include_top:
        x = layers.Dense(1000, name="predictions")(x)
    model = keras.Model(inputs, x, name=name)
    if weights == "imagenet":
        _load(model, read_state_dict(PACKAGED[name].path()))
    return model


def _convolution(x, width, prefix, kernel=1, stride=1, activate=True):
    """A convolution, depthwise where no width is given; BatchNorm, ReLU6."""
    name = f"{prefix}dwconv" if width is None else f"{prefix}conv"
    options = {"padding": "same", "use_bias": False, "name": name}
    if width is None:
        x = layers.DepthwiseConv2D(kernel, stride, **options)(x)
    else:
        x = layers.Conv2D(width, kernel, stride, **options)(x)
    name = f"{prefix}bn"
    x = layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=name)(x)
    return layers.ReLU(6.0, name=f"{name}_relu6")(x) if activate else x


def _block(x, width, kernel, stride, prefix):
    """Inverted residual: expand, convolve depthwise, project; add."""
    start, depth = x, x.shape[-1]
    if prefix != "block1a_":
        x = _convolution(x, EXPANSION * depth, f"{prefix}expand_")
    x = _convolution(x, None, prefix, kernel, stride)
    x = _convolution(x, width, f"{prefix}project_", activate=False)
    if stride == 1 and depth == width:
        x = layers.Add(name=f"{prefix}add")([x, start])
    return x


def _load(model, state):
    """Hand the state dict's arrays over, layer by layer, in order.

    Both list a convolution and its normalisation one after another, from the
    stem to the top; shapes are checked by Keras.
    """
    arrays = {}  # those of one layer together, under the layer's name
    for name, array in state.items():
        layer, _, kind = name.rpartition(".")
        arrays.setdefault(layer, {})[kind] = array
    for layer, values in zip(
        (layer for layer in model.layers if layer.weights),
        arrays.values(),
        strict=model.layers[-1].name != "avg_pool",
    ):
        if isinstance(layer, layers.BatchNormalization):
            kinds = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([values[kind] for kind in kinds])
        elif isinstance(layer, layers.Dense):
            layer.set_weights([values["weight"].T, values["bias"]])
        else:
            depthwise = isinstance(layer, layers.DepthwiseConv2D)
            order = (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)
            layer.set_weights([np.transpose(values["weight"], order)])
