"""Frozen features of images, plain and augmented, cached on disk.

The cache key holds all that the features follow from: the images' bytes,
their size, the network, the weights' hash, the preprocessing, the
augmentation, the code that builds and feeds the network, the Keras version
and the backend.  A second run reads; a change of any of them computes anew.
"""

import hashlib
from functools import lru_cache, partial
from pathlib import Path

import keras
import numpy as np

from helpers.models import augmentation, backbones, efficientnet_lite
from helpers.models.augmentation import (
    ACNE_AUGMENTATION,
    augmentation_layers,
)
from helpers.models.backbones import extractor, preprocessed, weights_identity
from helpers.paths import CACHE_DIR, kept

BATCH_SIZE = 32


def frozen_features(
    images: np.ndarray,
    backbone: str,
    weights: str,
    views: int = 1,
    preprocessing: str = "keras",
    seed: int = 0,
    cache_dir: Path | None = None,
    depths: tuple[str, ...] | None = None,
) -> np.ndarray:
    """Features of a network at some depths, averaged over space.

    Parameters
    ----------
    images : uint8 (N, size, size, 3)
    backbone : one of `helpers.models.BACKBONES`
    weights : see `helpers.models.backbone`
    views : 1 gives the plain images alone; each further view is all of
        them, augmented anew
    preprocessing : see `helpers.models.preprocessed`
    seed : of random weights and of the augmentation
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
    cache_dir = cache_dir or CACHE_DIR / "features"
    identity = weights_identity(backbone, weights, seed)
    origin = {
        "images": images,
        "weights": identity,
        "preprocessing": preprocessing,
        "depths": depths,
        "code": _code_hash(),
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
    }
    of_network = (identity, backbone, weights, images.shape[1], seed, depths)

    def feed(pixels):
        return preprocessed(pixels, backbone, weights, preprocessing)

    def extracted(view):
        network = compiled_network(*of_network)
        return {"features": _extract(network, images, view, seed, feed)}

    features = []
    for view in range(views):
        augmented = [view, seed, *ACNE_AUGMENTATION] if view else []
        made_of = {**origin, "augmentation": augmented}
        arrays, _ = kept(cache_dir, made_of, partial(extracted, view))
        features.append(arrays["features"])
    return np.stack(features)


def _code_hash():
    modules = (augmentation, backbones, efficientnet_lite)
    files = [__file__, *(module.__file__ for module in modules)]
    texts = [Path(file).read_bytes() for file in files]
    return hashlib.sha256(b"".join(texts)).hexdigest()


@lru_cache(maxsize=1)
def compiled_network(identity: str, *arguments) -> keras.Model:
    """The `extractor` of these arguments, kept: compiling takes seconds.

    identity: of its weights, so that a file that has changed is read again.
    """
    return extractor(*arguments)


def _extract(network, images, view, seed, feed):
    names = ACNE_AUGMENTATION if view else ()
    steps = augmentation_layers(names, 1000 * (seed + 1) + 10 * view)
    # A shorter last batch would cost a second tracing of the network.
    batches = -(-len(images) // BATCH_SIZE)
    rows = np.resize(np.arange(len(images)), (batches, BATCH_SIZE))
    features = []
    for batch in rows:
        pixels = keras.ops.convert_to_tensor(images[batch], "float32")
        for step in steps:
            pixels = step(pixels, training=True)
        features.append(network.predict_on_batch(feed(pixels)))
    return np.concatenate(features)[: len(images)]
