"""Keras' networks by name, each with the input scaling its weights expect.

Sources: VGG16, arXiv:1409.1556; ResNet, arXiv:1512.03385; DenseNet,
arXiv:1608.06993; EfficientNet, arXiv:1905.11946.  Keras' weights for the first
three want ``preprocess_input`` called on the pictures, each in its own way,
and nothing complains where it is forgotten; those of EfficientNet scale inside
the network.  Here the scaling is always part of the network, which is fed
pictures 0-255 in RGB.
"""

import hashlib
import time
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pandas as pd
from keras import layers

from helpers.models import build_backbone, set_batch_normalization_momentum

SCALINGS = ("own", "none", "divided by 255")


class Backbone(NamedTuple):
    """A builder in `keras.applications` and how its input is scaled.

    scaling : "caffe" (blue, green, red, 0-255 without their means), "torch"
        (0-1, without the mean, over the spread, a channel each) or "inside"
        (the network does it); the first two are Keras' names
    """

    builder: str
    scaling: str


BACKBONES = {
    "VGG16": Backbone("VGG16", "caffe"),
    "ResNet-50": Backbone("ResNet50", "caffe"),
    "ResNet-101": Backbone("ResNet101", "caffe"),
    "DenseNet-121": Backbone("DenseNet121", "torch"),
    "EfficientNetB0": Backbone("EfficientNetB0", "inside"),
    "EfficientNetB1": Backbone("EfficientNetB1", "inside"),
}

# What keras.applications takes off: B, G, R, 0-255; and R, G, B, 0-1.
_CAFFE_MEAN = np.array((103.939, 116.779, 123.68))
_TORCH_MEAN = np.array((0.485, 0.456, 0.406))
_TORCH_SPREAD = np.array((0.229, 0.224, 0.225))

# By path, Keras' ImageNet file of an EfficientNet loads into a network that
# lacks one of its rescaling layers; `helpers.models` refuses that of B1.
_NOT_BY_PATH = {"EfficientNetB0": "50bc09e76180e00e4465e1a485ddc09d"}


def backbone(
    name: str,
    weights: str | None,
    image_size: int,
    scaling: str = "own",
    pooled: bool = True,
    seed: int = 0,
) -> keras.Model:
    """A network without its top, frozen, behind the scaling of its input.

    Frozen holds for BatchNorm's moving statistics too, under ``fit`` as well;
    set ``trainable = True`` before compiling to fine-tune it.

    Parameters
    ----------
    name : one of `BACKBONES`
    weights : "imagenet" (downloaded by Keras), None or "random" (drawn from
        ``seed``), the path of a weights file without top or, for
        EfficientNetB1, "offline" (shipped with the book)
    image_size : pixels a side, 32 or more
    scaling : "own" is what the weights expect; "none" feeds 0-255 as they
        come and "divided by 255" feeds 0-1: what it is to forget
        ``preprocess_input``, or to call the wrong one
    pooled : averaged over space, or maps
    seed : of random weights

    Returns
    -------
    A model from pictures (N, size, size, 3), 0-255, RGB, to features (N, F)
    or, where not ``pooled``, to maps (N, h, w, F).

    Raises
    ------
    FileNotFoundError, ValueError
        For another name or scaling, and where the weights cannot be had;
        nothing else is used instead.
    """
    _known(name)
    if scaling not in SCALINGS:
        raise ValueError(f"scaling: {scaling!r} is none of {SCALINGS}")
    shape = (image_size, image_size, 3)
    base = _base(name, weights, shape, seed)
    if not pooled:
        base = keras.Model(base.input, base.layers[-1].input, name=base.name)
    inputs = keras.Input(shape, name="picture")
    model = keras.Model(
        inputs, base(_scaled(inputs, name, scaling)), name=name
    )
    model.trainable = False
    return model


def trainable(name: str, weights: str | None = "imagenet"):
    """A way to build networks for `helpers.end_to_end.train_one_by_one`.

    All of it is trained.  BatchNorm's moving averages keep 0.9 of themselves
    a step, as in the CEFL paper's framework; Keras' own number is 0.99.
    Keras ships no ResNet-18 and ResNet-34: `helpers.residual` has these,
    untrained.

    Parameters
    ----------
    name, weights : see `backbone`

    Returns
    -------
    A function from (classes, (side, side, 3), seed) to a model from pictures
    (N, side, side, 3), 0-255, RGB, to logits (N, classes), float32; ``seed``
    draws the last layer, and all of it where weights are random.

    Raises
    ------
    FileNotFoundError, ValueError
        As `backbone`; for weights, when a network is built.
    """
    _known(name)

    def network(n_classes: int, image_shape: tuple, seed: int):
        base = _base(name, weights, image_shape, seed)
        set_batch_normalization_momentum(base, 0.9)
        inputs = keras.Input(image_shape, name="picture")
        features = base(_scaled(inputs, name, "own"))
        logits = layers.Dense(n_classes, dtype="float32")(features)
        return keras.Model(inputs, logits, name=name)

    return network


def costs(
    names=tuple(BACKBONES),
    image_size: int = 224,
    batch_size: int = 4,
    rounds: int = 3,
) -> pd.DataFrame:
    """Size and speed of networks without top, timed side by side.

    Every round runs each network once, so that whatever else the machine
    does meanwhile slows all of them; the fastest of a network's rounds is
    what it costs, and the slowest tells how much else there was.  Weights do
    not change either number: they are random.

    Parameters
    ----------
    names : of `BACKBONES`
    image_size : pixels a side
    batch_size : pictures a run
    rounds : timed runs of each

    Returns
    -------
    One row a network, named in the index: features; maps (pixels a side
    before pooling); parameters; MB (10^6 bytes, in float32); seconds a
    picture; slowest (seconds a picture).
    """
    pictures = np.zeros((batch_size, image_size, image_size, 3), "float32")
    networks = {
        name: backbone(name, None, image_size, pooled=False) for name in names
    }
    for network in networks.values():
        network.predict_on_batch(pictures)  # traced before the clock runs
    seconds = np.empty((rounds, len(networks)))
    for turn in seconds:
        for place, network in enumerate(networks.values()):
            start = time.perf_counter()
            network.predict_on_batch(pictures)
            turn[place] = (time.perf_counter() - start) / batch_size
    parameters = [network.count_params() for network in networks.values()]
    shapes = [network.output_shape for network in networks.values()]
    return pd.DataFrame(
        {
            "features": [shape[-1] for shape in shapes],
            "maps": [shape[1] for shape in shapes],
            "parameters": parameters,
            "MB": np.multiply(parameters, 4e-6),
            "seconds a picture": seconds.min(axis=0),
            "slowest": seconds.max(axis=0),
        },
        index=pd.Index(networks, name="network"),
    )


def _known(name):
    if name not in BACKBONES:
        raise ValueError(f"name: {name!r} is none of {tuple(BACKBONES)}")


def _scaled(pixels, name, scaling):
    """Layers that do what the network's ``preprocess_input`` does."""
    if scaling == "divided by 255":
        return layers.Rescaling(1 / 255)(pixels)
    how = BACKBONES[name].scaling if scaling == "own" else "inside"
    if how == "caffe":
        return layers.Rescaling(1.0, (-_CAFFE_MEAN).tolist())(
            pixels[..., ::-1]
        )
    if how == "torch":
        return layers.Rescaling(
            (1 / (255 * _TORCH_SPREAD)).tolist(),
            (-_TORCH_MEAN / _TORCH_SPREAD).tolist(),
        )(pixels)
    return pixels


def _base(name, weights, image_shape, seed):
    """Keras' network, pooled, as it comes."""
    if name == "EfficientNetB1":
        fed = build_backbone(weights or "random", image_shape[0], seed=seed)
        return fed.layers[-1]
    if weights not in (None, "random", "imagenet"):
        _check_file(name, Path(weights))
    keras.utils.set_random_seed(seed)
    return getattr(keras.applications, BACKBONES[name].builder)(
        include_top=False,
        weights=None if weights == "random" else weights,
        input_shape=image_shape,
        pooling="avg",
    )


def _check_file(name, path):
    if not path.is_file():
        raise FileNotFoundError(
            f"weights: no such file: {path}. Set weights to 'imagenet' (a "
            f"download), to 'random' or to the path of {name} without top."
        )
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, "md5").hexdigest()
    if md5 == _NOT_BY_PATH.get(name):
        raise ValueError(
            f"weights: {path.name} is Keras' own ImageNet file, which needs "
            "one more rescaling layer than a network loaded by path has. Put "
            "it into the folder models/ of Keras' home (~/.keras) and set "
            "weights to 'imagenet'."
        )
