"""Networks by name, each with the input scaling that its weights expect.

Sources: VGG16, arXiv:1409.1556; ResNet, arXiv:1512.03385; DenseNet,
arXiv:1608.06993; EfficientNet, arXiv:1905.11946; EfficientNet-Lite,
`models.efficientnet_lite`.  Keras' weights for the first three want
``preprocess_input`` called on the images, each in its own way, and nothing
complains where it is forgotten; EfficientNet and EfficientNet-Lite scale
inside the network.  Here every network is fed images 0-255 in RGB.
"""

import hashlib
import time
from pathlib import Path
from typing import NamedTuple

import h5py
import keras
import numpy as np
import pandas as pd
from keras import layers

from helpers.models import weights as weight_files
from helpers.models.efficientnet_lite import efficientnet_lite
from helpers.models.layers import set_batch_normalization_momentum

PREPROCESSING = ("keras", "divide_by_255", "none")


class Backbone(NamedTuple):
    """How a network is built, and where its stages end.

    builder : in `keras.applications`; None for EfficientNet-Lite
    scaling : of its input: "caffe" (blue, green, red, 0-255 without their
        means), "torch" (0-1, without the mean, over the standard deviation,
        a channel each) or "inside" (the network does it); the first two are
        Keras' names
    depths : the last layer of each of its last four stages, by stage
    top_1 : published accuracy on ImageNet, %, of the weights "imagenet"
    """

    builder: str | None
    scaling: str
    depths: dict[str, str]
    top_1: float


def _ends(pattern, ends):
    return {f"block {k}": pattern.format(k, end) for k, end in ends.items()}


BACKBONES = {
    "VGG16": Backbone(
        "VGG16",
        "caffe",
        _ends("block{0}_pool", dict.fromkeys((2, 3, 4, 5))),
        71.6,
    ),
    "ResNet-50": Backbone(
        "ResNet50",
        "caffe",
        _ends("conv{}_block{}_out", {2: 3, 3: 4, 4: 6, 5: 3}),
        74.9,
    ),
    "ResNet-101": Backbone(
        "ResNet101",
        "caffe",
        _ends("conv{}_block{}_out", {2: 3, 3: 4, 4: 23, 5: 3}),
        76.4,
    ),
    "DenseNet-121": Backbone(
        "DenseNet121",
        "torch",
        _ends("conv{}_block{}_concat", {2: 6, 3: 12, 4: 24, 5: 16}),
        75.0,
    ),
    "EfficientNetB0": Backbone(
        "EfficientNetB0",
        "inside",
        _ends(
            "block{}{}",
            {4: "c_add", 5: "c_add", 6: "d_add", 7: "a_project_bn"},
        ),
        77.1,
    ),
    "EfficientNetB1": Backbone(
        "EfficientNetB1",
        "inside",
        _ends("block{}{}_add", {4: "d", 5: "d", 6: "e", 7: "b"}),
        79.1,
    ),
    "EfficientNet-Lite0": Backbone(
        None,
        "inside",
        _ends(
            "block{}{}",
            {4: "c_add", 5: "c_add", 6: "d_add", 7: "a_project_bn"},
        ),
        75.1,
    ),
    "EfficientNet-Lite1": Backbone(
        None,
        "inside",
        _ends(
            "block{}{}",
            {4: "d_add", 5: "d_add", 6: "e_add", 7: "a_project_bn"},
        ),
        76.7,
    ),
}

# What keras.applications takes off: B, G, R, 0-255; and R, G, B, 0-1.
_CAFFE_MEAN = np.array((103.939, 116.779, 123.68))
_TORCH_MEAN = np.array((0.485, 0.456, 0.406))
_TORCH_STD = np.array((0.229, 0.224, 0.225))


def backbone(
    name: str,
    weights: str,
    image_size: int,
    preprocessing: str = "keras",
    pooled: bool = True,
    seed: int = 0,
) -> keras.Model:
    """A network without its top, frozen, behind the scaling of its input.

    Frozen holds for BatchNorm's moving statistics too, under ``fit`` as well;
    set ``trainable = True`` before compiling to fine-tune it.

    Parameters
    ----------
    name : one of `BACKBONES`
    weights : "imagenet" (from a package for EfficientNet-Lite and VGG16,
        downloaded by Keras for the others), "random" (drawn from ``seed``)
        or the path of a Keras weights file without top
    image_size : pixels a side, 32 or more
    preprocessing : see `preprocessed`
    pooled : averaged over space, or maps
    seed : of random weights

    Returns
    -------
    A model from images (N, size, size, 3), 0-255, RGB, to features (N, F)
    or, where not ``pooled``, to maps (N, h, w, F).

    Raises
    ------
    FileNotFoundError, ValueError
        For another name or preprocessing, and where the weights cannot be
        had; nothing else is used instead.
    """
    shape = (image_size, image_size, 3)
    base = base_network(name, weights, shape, seed)
    if not pooled:
        base = keras.Model(base.input, base.layers[-1].input, name=base.name)
    inputs = keras.Input(shape, name="image")
    fed = preprocessed(inputs, name, weights, preprocessing)
    model = keras.Model(inputs, base(fed), name=name)
    model.trainable = False
    return model


def extractor(
    name: str,
    weights: str,
    image_size: int,
    seed: int = 0,
    depths: tuple[str, ...] | None = None,
) -> keras.Model:
    """The network that frozen features come from, up to the deepest depth.

    depths : of ``BACKBONES[name].depths``, default all four; for the rest
        see `backbone`.  A model from images as `preprocessed` returns them
        to features (N, F): averaged over space at each depth, side by side.
    """
    base = base_network(name, weights, (image_size, image_size, 3), seed)
    ends = BACKBONES[name].depths
    pooled = [
        layers.GlobalAveragePooling2D()(base.get_layer(ends[depth]).output)
        for depth in depths or ends
    ]
    features = pooled[0] if len(pooled) == 1 else layers.concatenate(pooled)
    return keras.Model(base.input, features)


def depth_widths(name: str) -> dict[str, int]:
    """How many features a network has at each of its depths."""
    base = base_network(name, "random", (32, 32, 3))
    ends = BACKBONES[name].depths
    return {d: base.get_layer(end).output.shape[-1] for d, end in ends.items()}


def preprocessed(images, name: str, weights: str, preprocessing: str):
    """Images 0-255 as a network is fed them.

    preprocessing : "keras" is what the weights expect; "divide_by_255" feeds
        0-1, as the acne paper says it did (section 2.2): a network that
        scales its input itself then scales twice, and for the others it is
        what it means to forget ``preprocess_input``; "none" feeds 0-255 as
        they come
    """
    _known(name)
    if preprocessing not in PREPROCESSING:
        raise ValueError(
            f"preprocessing: {preprocessing!r} is none of {PREPROCESSING}"
        )
    if preprocessing == "divide_by_255":
        return layers.Rescaling(1 / 255, name="divide_by_255")(images)
    scaling = BACKBONES[name].scaling
    if name == "VGG16" and weights == "imagenet":
        scaling = "torch"  # the packaged weights are torchvision's
    if preprocessing == "none" or scaling == "inside":
        return images
    if scaling == "caffe":
        return layers.Rescaling(1.0, (-_CAFFE_MEAN).tolist())(
            images[..., ::-1]
        )
    return layers.Rescaling(
        (1 / (255 * _TORCH_STD)).tolist(), (-_TORCH_MEAN / _TORCH_STD).tolist()
    )(images)


def trainable(name: str, weights: str = "imagenet"):
    """A way to build networks for `helpers.training.train_one_by_one`.

    All of it is trained.  BatchNorm's moving averages keep 0.9 of themselves
    a step, as in the CEFL paper's framework; Keras' own number is 0.99.
    Keras ships no ResNet-18 and ResNet-34: `models.resnet` has these,
    untrained.

    Parameters
    ----------
    name, weights : see `backbone`

    Returns
    -------
    A function from (classes, (side, side, 3), seed) to a model from images
    (N, side, side, 3), 0-255, RGB, to logits (N, classes), float32; ``seed``
    draws the last layer, and all of it where weights are random.

    Raises
    ------
    FileNotFoundError, ValueError
        As `backbone`; for weights, when a network is built.
    """
    _known(name)

    def network(n_classes: int, image_shape: tuple, seed: int):
        base = base_network(name, weights, image_shape, seed)
        set_batch_normalization_momentum(base, 0.9)
        inputs = keras.Input(image_shape, name="image")
        features = base(preprocessed(inputs, name, weights, "keras"))
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
    batch_size : images a run
    rounds : timed runs of each

    Returns
    -------
    One row a network, named in the index: features; maps (pixels a side
    before pooling); parameters; MB (10^6 bytes, in float32); seconds an
    image; slowest (seconds an image).
    """
    images = np.zeros((batch_size, image_size, image_size, 3), "float32")
    networks = {
        name: backbone(name, "random", image_size, pooled=False)
        for name in names
    }
    for network in networks.values():
        network.predict_on_batch(images)  # traced before the clock runs
    seconds = np.empty((rounds, len(networks)))
    for turn in seconds:
        for place, network in enumerate(networks.values()):
            start = time.perf_counter()
            network.predict_on_batch(images)
            turn[place] = (time.perf_counter() - start) / batch_size
    parameters = [network.count_params() for network in networks.values()]
    shapes = [network.output_shape for network in networks.values()]
    return pd.DataFrame(
        {
            "features": [shape[-1] for shape in shapes],
            "maps": [shape[1] for shape in shapes],
            "parameters": parameters,
            "MB": np.multiply(parameters, 4e-6),
            "seconds an image": seconds.min(axis=0),
            "slowest": seconds.max(axis=0),
        },
        index=pd.Index(networks, name="network"),
    )


def weights_identity(name: str, weights: str, seed: int = 0) -> str:
    """Name a network and its weights in full, for a cache key or a result.

    "EfficientNet-Lite1, imagenet, sha256:77cc7160..." (a package's file),
    "EfficientNetB1, imagenet (Keras)", "EfficientNetB1, random, seed 0" or
    "EfficientNetB1, sha256:..." (a file).
    """
    _known(name)
    if weights == "random":
        return f"{name}, random, seed {seed}"
    if weights == "imagenet":
        packaged = PACKAGED.get(name)
        if packaged:
            packaged.path()
            return f"{name}, imagenet, sha256:{packaged.sha256}"
        return f"{name}, imagenet (Keras)"
    with _weights_file(name, weights).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{name}, sha256:{digest}"


def title(name: str, weights: str) -> str:
    """A network and its weights for a figure or a sentence."""
    _known(name)
    known = {"imagenet": "ImageNet weights", "random": "random weights"}
    return f"{name} ({known.get(weights, f'weights of {Path(weights).name}')})"


PACKAGED = {**weight_files.LITE, "VGG16": weight_files.VGG16}
"""Networks whose ImageNet weights come from a package, not from Keras."""


def base_network(
    name: str, weights: str, image_shape: tuple, seed: int = 0
) -> keras.Model:
    """A network without top, pooled over space, as it is trained by default.

    It takes what `preprocessed` returns; for the rest see `backbone`.
    """
    _known(name)
    if weights not in ("imagenet", "random"):
        return _from_file(name, _weights_file(name, weights), image_shape)
    keras.utils.set_random_seed(seed)
    given = weights if weights == "imagenet" else None
    if given is None or name in PACKAGED:
        return _built(name, given, image_shape)
    try:
        return _built(name, given, image_shape)
    except Exception as error:
        raise FileNotFoundError(
            f"weights='imagenet': Keras could not download the file of {name} "
            f"({error}). Set WEIGHTS to 'random' or to the path of a weights "
            f"file without top, or BACKBONE to one of {tuple(PACKAGED)}, "
            "whose weights come from the package index."
        ) from error


def _built(name, weights, image_shape):
    if name in weight_files.LITE:
        return efficientnet_lite(name, weights, image_shape)
    packaged = PACKAGED.get(name) if weights else None
    network = getattr(keras.applications, BACKBONES[name].builder)(
        include_top=False,
        weights=None if packaged else weights,
        input_shape=image_shape,
        pooling="avg",
    )
    if packaged:
        arrays = weight_files.read_arrays(packaged.path())["VGG16_0"]
        convolutions = [
            layer
            for layer in network.layers
            if isinstance(layer, layers.Conv2D)
        ]
        for k, layer in enumerate(convolutions):
            found = arrays[f"Conv_{k}"]
            layer.set_weights([found["kernel"], found["bias"]])
    return network


def _from_file(name, path, image_shape):
    network = _built(name, None, image_shape)
    try:
        network.load_weights(path)
    except Exception as error:
        raise ValueError(
            f"{path.name} does not hold the weights of {name} without top: "
            f"{error}"
        ) from error
    if (BACKBONES[name].builder or "").startswith("Efficient"):
        _divide_by_root_of_std(network, path)
    return network


def _divide_by_root_of_std(network, path):
    """Give a network the rescaling that its weights were trained with.

    Keras' EfficientNet with ImageNet weights has one more Rescaling layer,
    a division by the root of each channel's standard deviation, than the
    network that a file is loaded into.  Such a file names two rescaling
    layers; older ones, Keras' own among them, are known by the statistics of
    ImageNet in their normalisation, which has the standard deviation where
    the variance belongs.  The division goes into that variance, so that what
    is saved from this network is not divided again.
    """
    with h5py.File(path) as file:
        names = file.attrs.get("layer_names", file.get("layers", ()))
        names = [n.decode() if isinstance(n, bytes) else n for n in names]
    twice = sum(name.startswith("rescaling") for name in names) > 1
    normalization = next(
        layer
        for layer in network.layers
        if isinstance(layer, layers.Normalization)
    )
    mean, variance, count = normalization.get_weights()
    known = np.allclose(mean, _TORCH_MEAN, atol=0.01) and np.allclose(
        variance, _TORCH_STD, atol=0.01
    )
    if twice or known:
        normalization.set_weights([mean, variance * _TORCH_STD, count])
        normalization.finalize_state()


def _weights_file(name, weights) -> Path:
    path = Path(weights).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"weights: no such file: {weights}. Set WEIGHTS to 'imagenet', to "
            f"'random' or to the path of a Keras weights file of {name} "
            "without top."
        )
    return path


def _known(name):
    if name not in BACKBONES:
        raise ValueError(f"BACKBONE: {name!r} is none of {tuple(BACKBONES)}")
