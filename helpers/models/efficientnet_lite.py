"""EfficientNet-Lite0 and Lite1, with their ImageNet weights.

EfficientNet (Tan & Le, arXiv:1905.11946) made for small devices by its
authors (github.com/tensorflow/tpu, efficientnet/lite): no squeeze-and-
excitation, ReLU6 in place of swish, stem and head of one width for all.
Lite1 has the depth and width of EfficientNetB1 but for its first and its last
stage, which are not repeated.
"""

import string

import keras
import numpy as np
from keras import layers

from helpers.models.weights import LITE, read_state_dict

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
    """EfficientNet-Lite in Keras.

    Layers are named as in `keras.applications.EfficientNetB1`
    ("block4d_add"); the last stage, which is not repeated, ends in
    "block7a_project_bn".

    Parameters
    ----------
    name : "EfficientNet-Lite0" or "EfficientNet-Lite1"
    weights : "imagenet", read from the package of that name, or None for
        random ones, drawn from Keras' global seed
    image_shape : (height, width, 3); None for any size
    include_top : True adds ImageNet's 1,000 classes (logits)

    Returns
    -------
    A model from images (N, height, width, 3), 0-255, RGB, which it scales to
    (x - 127) / 128, to features (N, 1280) or logits (N, 1000).

    Raises
    ------
    FileNotFoundError, ValueError
        Where the weights are missing, truncated or others.
    """
    inputs = keras.Input(image_shape)
    x = layers.Rescaling(1 / 128, -127 / 128, name="rescaling")(inputs)
    x = _convolution(x, STEM, 3, 2, "stem_conv", "stem_bn")
    for stage, repeats in enumerate(REPEATS[name]):
        for repeat in range(repeats):
            prefix = f"block{stage + 1}{string.ascii_lowercase[repeat]}_"
            stride = STRIDES[stage] if repeat == 0 else 1
            x = _block(x, WIDTHS[stage], KERNELS[stage], stride, prefix)
    x = _convolution(x, HEAD, 1, 1, "top_conv", "top_bn")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    if include_top:
        x = layers.Dense(1000, name="predictions")(x)
    model = keras.Model(inputs, x, name=name)
    if weights == "imagenet":
        _load(model, read_state_dict(LITE[name].path()))
    return model


def _convolution(x, width, kernel, stride, name, norm, activate=True):
    x = layers.Conv2D(
        width, kernel, stride, "same", use_bias=False, name=name
    )(x)
    return _normalized(x, norm, activate)


def _normalized(x, name, activate=True):
    x = layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=name)(x)
    return layers.ReLU(6.0, name=f"{name}_relu6")(x) if activate else x


def _block(x, width, kernel, stride, prefix):
    """Inverted residual: expand, convolve depthwise, project; add."""
    start = x
    if prefix != "block1a_":
        x = _convolution(
            x,
            EXPANSION * start.shape[-1],
            1,
            1,
            f"{prefix}expand_conv",
            f"{prefix}expand_bn",
        )
    x = layers.DepthwiseConv2D(
        kernel, stride, "same", use_bias=False, name=f"{prefix}dwconv"
    )(x)
    x = _normalized(x, f"{prefix}bn")
    x = _convolution(
        x,
        width,
        1,
        1,
        f"{prefix}project_conv",
        f"{prefix}project_bn",
        activate=False,
    )
    if stride == 1 and start.shape[-1] == width:
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
    for layer, found in zip(
        (layer for layer in model.layers if layer.weights),
        arrays.values(),
        strict=model.layers[-1].name != "avg_pool",
    ):
        if isinstance(layer, layers.BatchNormalization):
            kinds = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([found[kind] for kind in kinds])
        elif isinstance(layer, layers.Dense):
            layer.set_weights([found["weight"].T, found["bias"]])
        else:
            depthwise = isinstance(layer, layers.DepthwiseConv2D)
            order = (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)
            layer.set_weights([np.transpose(found["weight"], order)])
