"""Networks by name, each with the input scaling that its weights expect.

Sources: VGG16, arXiv:1409.1556; ResNet, arXiv:1512.03385; DenseNet,
arXiv:1608.06993; EfficientNet, arXiv:1905.11946; EfficientNet-Lite,
`models.efficientnet_lite`.  Keras' weights for the first three want
``preprocess_input`` called on the images, each in its own way, and nothing
complains where it is forgotten; EfficientNet and EfficientNet-Lite scale
inside the network.  Here every network is fed images 0-255 in RGB.
"""

import hashlib
import shutil
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import h5py
import keras
import numpy as np
from keras import layers

from helpers.models import augmentation
from helpers.models import efficientnet_lite as lite
from helpers.models.weights import PACKAGED, read_arrays
from helpers.paths import CACHE_DIR, file_sha256, kept

PREPROCESSING = ("keras", "divide_by_255", "none")
BATCH_SIZE = 32  # images of which frozen features are taken at once


class Backbone(NamedTuple):
    """A network's facts.

    mode : of Keras' ``preprocess_input``: "caffe" (blue, green, red, 0-255
        without their means) or "torch" (0-1, without the mean, over the
        standard deviation, a channel each); None: the network scales itself
    top_1 : published accuracy on ImageNet, %, of the weights "imagenet"
    depths : the last layer of each of its last four stages, by stage
    """

    mode: str | None
    top_1: float
    depths: dict[str, str]


def _ends(pattern, first, *ends):
    stages = enumerate(ends, first)
    return {f"block {k}": pattern.format(k, end) for k, end in stages}


_B0_ENDS = _ends("block{}{}", 4, "c_add", "c_add", "d_add", "a_project_bn")
_LITE1_ENDS = _ends("block{}{}", 4, "d_add", "d_add", "e_add", "a_project_bn")
_RESNET, _DENSENET = "conv{}_block{}_out", "conv{}_block{}_concat"
BACKBONES = {
    "VGG16": Backbone("caffe", 71.6, _ends("block{}_pool", 2, *range(4))),
    "ResNet-50": Backbone("caffe", 74.9, _ends(_RESNET, 2, 3, 4, 6, 3)),
    "ResNet-101": Backbone("caffe", 76.4, _ends(_RESNET, 2, 3, 4, 23, 3)),
    "DenseNet-121": Backbone(
        "torch", 75.0, _ends(_DENSENET, 2, 6, 12, 24, 16)
    ),
    "EfficientNetB0": Backbone(None, 77.1, _B0_ENDS),
    "EfficientNetB1": Backbone(None, 79.1, _ends("block{}{}_add", 4, *"ddeb")),
    "EfficientNet-Lite0": Backbone(None, 75.1, _B0_ENDS),
    "EfficientNet-Lite1": Backbone(None, 76.7, _LITE1_ENDS),
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
    see `unfreeze` to fine-tune it.

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
    or, where not ``pooled``, to maps (N, h, w, F).  FileNotFoundError or
    ValueError for another name or preprocessing, and where the weights cannot
    be had; nothing else is used instead.
    """
    shape = (image_size, image_size, 3)
    base = base_network(name, weights, shape, seed)
    if not pooled:
        base = keras.Model(base.input, base.layers[-1].input, name=base.name)
    inputs = keras.Input(shape, name="image")
    features = base(preprocessed(inputs, name, weights, preprocessing))
    model = keras.Model(inputs, features, name=name)
    model.trainable = False
    return model


def base_network(
    name: str, weights: str, image_shape: tuple, seed: int = 0
) -> keras.Model:
    """A network without top, pooled over space, as it is trained by default.

    It takes what `preprocessed` returns; for the rest see `backbone`.
    """
    _entry(name)
    if name not in lite.REPEATS and min(image_shape[:2]) < 32:  # as in Keras
        side = min(image_shape[:2])
        raise ValueError(
            f"{name} takes images of 32 pixels a side or more, not {side}; "
            "set IMAGE_SIZE"
        )
    if weights not in ("imagenet", "random"):
        return _from_file(name, _weights_file(name, weights), image_shape)
    keras.utils.set_random_seed(seed)
    if weights == "random" or name in PACKAGED:
        return _built(name, weights, image_shape)
    try:
        return _built(name, weights, image_shape)
    except Exception as error:
        raise FileNotFoundError(
            f"weights='imagenet': Keras could not download the file of {name} "
            f"({error}). Set WEIGHTS to 'random' or to the path of a weights "
            f"file without top, or BACKBONE to one of {tuple(PACKAGED)}, "
            "whose weights come from the package index."
        ) from error


def preprocessed(images, name: str, weights: str, preprocessing: str):
    """Images 0-255 as a network is fed them.

    preprocessing : "keras" is what the weights expect; "divide_by_255" feeds
        0-1, as the acne paper says it did (section 2.2): a network that
        scales its input itself then scales twice, and for the others it is
        what it means to forget ``preprocess_input``; "none" feeds 0-255 as
        they come
    """
    mode = _entry(name).mode
    if name == "VGG16" and weights == "imagenet":
        mode = "torch"  # the packaged weights are torchvision's
    if preprocessing not in PREPROCESSING:
        raise ValueError(
            f"preprocessing: {preprocessing!r} is none of {PREPROCESSING}"
        )
    if preprocessing == "divide_by_255":
        return layers.Rescaling(1 / 255, name="divide_by_255")(images)
    if preprocessing == "none" or mode is None:
        return images
    scale, offset = 1 / (255 * _TORCH_STD), -_TORCH_MEAN / _TORCH_STD
    if mode == "caffe":
        images, scale, offset = images[..., ::-1], np.ones(3), -_CAFFE_MEAN
    return layers.Rescaling(scale.tolist(), offset.tolist())(images)


def frozen_features(
    images: np.ndarray,
    backbone: str,
    weights: str,
    views: int = 1,
    preprocessing: str = "keras",
    cache_dir: Path | None = None,
    depths: tuple[str, ...] | None = None,
) -> np.ndarray:
    """Features of a network at some depths, averaged over space.

    They are kept under a hash of all that they follow from: the images'
    bytes, the weights, the preprocessing, the augmentation, this code.

    Parameters
    ----------
    images : uint8 (N, size, size, 3)
    backbone, weights : see `backbone`; random weights are those of seed 0
    views : 1 gives the plain images alone; each further view is all of
        them, augmented anew
    preprocessing : see `preprocessed`
    cache_dir : default ``features/`` in `helpers.paths.CACHE_DIR`
    depths : ends of stages, default the last four ("block 4" to "block 7"
        of an EfficientNet)

    Returns
    -------
    float32 (views, N, F); view 0 is plain; F = 704 at the usual depths of
    EfficientNetB1 and EfficientNet-Lite1.
    """
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ValueError(
            "images: uint8 (N, size, size, 3) is needed, got "
            f"{images.dtype} {images.shape}"
        )
    made_of = {
        "images": images,
        "weights": weights_identity(backbone, weights),
        "preprocessing": preprocessing,
        "depths": depths,
        "code": [
            hashlib.sha256(Path(file).read_bytes()).hexdigest()
            for file in (__file__, augmentation.__file__, lite.__file__)
        ],
        "keras": [keras.__version__, keras.backend.backend()],
        "precision": keras.config.dtype_policy().name,
    }
    of_network = (made_of["weights"], backbone, weights, images.shape[1])

    def extracted(names, view):
        network = features_network(*of_network, depths)
        steps = augmentation.augmentation_layers(names, 1000 + 10 * view)

        def features(batch):
            pixels = keras.ops.convert_to_tensor(batch, "float32")
            for step in steps:
                pixels = step(pixels, training=True)
            fed = preprocessed(pixels, backbone, weights, preprocessing)
            return network.predict_on_batch(fed)

        return {"features": in_batches(features, images, BATCH_SIZE)}

    features = []
    for view in range(views):
        names = augmentation.ACNE_AUGMENTATION if view else ()
        arrays, _ = kept(
            cache_dir or CACHE_DIR / "features",
            {**made_of, "augmentation": [view, *names]},
            partial(extracted, names, view),
        )
        features.append(arrays["features"])
    return np.stack(features)


def in_batches(
    function: Callable, images: np.ndarray, batch_size: int
) -> np.ndarray:
    """What a function gives for images (N, ...), in batches of one size.

    A shorter last batch would cost a second tracing of a network.
    """
    batches = -(-len(images) // batch_size)
    rows = np.resize(np.arange(len(images)), (batches, batch_size))
    found = [function(images[batch]) for batch in rows]
    return np.concatenate(found)[: len(images)]


@lru_cache(maxsize=1)
def features_network(
    identity: str, name: str, weights: str, image_size: int, depths
) -> keras.Model:
    """The network of `frozen_features`, kept: compiling takes seconds.

    identity : of its weights, so that a file that has changed is read again
    """
    base = base_network(name, weights, (image_size, image_size, 3))
    ends = BACKBONES[name].depths
    pooled = [
        layers.GlobalAveragePooling2D()(base.get_layer(ends[depth]).output)
        for depth in depths or ends
    ]
    features = pooled[0] if len(pooled) == 1 else layers.concatenate(pooled)
    return keras.Model(base.input, features)


def weights_identity(name: str, weights: str, seed: int = 0) -> str:
    """Name a network and its weights in full, for a cache key or a result.

    "EfficientNet-Lite1, imagenet, sha256:77cc7160..." (a package's file),
    "EfficientNetB1, imagenet (Keras)", "EfficientNetB1, random, seed 0" or
    "EfficientNetB1, sha256:..." (a file).
    """
    _entry(name)
    if weights == "random":
        return f"{name}, random, seed {seed}"
    if weights != "imagenet":
        digest = file_sha256(_weights_file(name, weights))
        return f"{name}, sha256:{digest}"
    if name not in PACKAGED:
        return f"{name}, imagenet (Keras)"
    PACKAGED[name].path()  # checks the file
    return f"{name}, imagenet, sha256:{PACKAGED[name].sha256}"


def title(name: str, weights: str) -> str:
    """A network and its weights for a figure or a sentence."""
    _entry(name)
    known = {"imagenet": "ImageNet weights", "random": "random weights"}
    return f"{name} ({known.get(weights, f'weights of {Path(weights).name}')})"


def _built(name, weights, image_shape):
    weights = None if weights == "random" else weights
    if name in lite.REPEATS:
        return lite.efficientnet_lite(name, weights, image_shape)
    packaged = weights and PACKAGED.get(name)
    network = getattr(keras.applications, name.replace("-", ""))(
        include_top=False,
        weights=None if packaged else weights,
        input_shape=image_shape,
        pooling="avg",
    )
    if packaged:
        arrays = read_arrays(packaged.path())["VGG16_0"]
        order = [f"Conv_{k}" for k in range(len(arrays))]
        network.set_weights(
            [arrays[k][kind] for k in order for kind in ("kernel", "bias")]
        )
    return network


def _from_file(name, path, image_shape):
    network = _built(name, "random", image_shape)
    try:
        with h5py.File(path) as file:
            older = "layer_names" in file.attrs or "model_weights" in file
        # Keras tells the two formats of HDF5 apart by the file's name.
        with TemporaryDirectory() as place:
            named = Path(place, "old.h5" if older else "new.weights.h5")
            network.load_weights(shutil.copyfile(path, named))
    except Exception as error:
        raise ValueError(
            f"{path.name} does not hold the weights of {name} without top: "
            f"{error}"
        ) from error
    if name.startswith("EfficientNetB"):
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
        older = file.get("model_weights", file).attrs
        names = older.get("layer_names", file.get("layers", ()))
        names = [n.decode() if isinstance(n, bytes) else n for n in names]
    twice = sum(name.startswith("rescaling") for name in names) > 1
    (normalization,) = (
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


def _entry(name) -> Backbone:
    if name not in BACKBONES:
        raise ValueError(f"BACKBONE: {name!r} is none of {tuple(BACKBONES)}")
    return BACKBONES[name]
