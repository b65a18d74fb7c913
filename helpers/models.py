"""The backbone with the input scaling it expects, and the paper's head.

Source: acne paper, section 2.3: EfficientNetB1, global average pooling,
Dense (ReLU), Dropout, Softmax.  The widths are not in the paper; ours are
listed as assumptions in notebook 03.
"""

import hashlib
from pathlib import Path

import keras

from helpers.paths import WEIGHTS_DIR

OFFLINE_WEIGHTS = WEIGHTS_DIR / "efficientnetb1_offline_notop.weights.h5"
# Keras' own ImageNet file.  By path it loads into a network that lacks one
# rescaling layer of the network that `weights="imagenet"` builds.
_KERAS_IMAGENET_MD5 = "74c4e6b3e1f6a1eea24c589628592432"
SCALINGS = ("corrected", "as published")


def build_backbone(
    weights: str, image_size: int, scaling: str = "corrected", seed: int = 0
) -> keras.Model:
    """EfficientNetB1 without its top, pooled over space.

    Parameters
    ----------
    weights : "imagenet" (downloaded by Keras), "offline" (shipped with the
        book), "random" (drawn from ``seed``) or the path of a weights file
    image_size : pixels a side
    scaling : "corrected" feeds 0-255, as the network's own rescaling layer
        expects; "as published" divides by 255 before that, as the acne paper
        says it did (section 2.2), so that pixels are scaled twice
    seed : of the random weights

    Returns
    -------
    A model from pictures (N, size, size, 3), 0-255, to features (N, 1280).

    Raises
    ------
    FileNotFoundError, ValueError
        Where the weights cannot be had; nothing else is used instead.
    """
    if scaling not in SCALINGS:
        raise ValueError(f"scaling: {scaling!r} is none of {SCALINGS}")
    base = _efficientnet_b1(weights, image_size, seed)
    inputs = keras.Input((image_size, image_size, 3), name="picture")
    pixels = inputs
    if scaling == "as published":
        pixels = keras.layers.Rescaling(1 / 255, name="divide_by_255")(pixels)
    return keras.Model(inputs, base(pixels), name="efficientnetb1")


def build_classifier(
    backbone: keras.Model,
    n_classes: int,
    dense: int = 128,
    dropout: float = 0.3,
    seed: int = 0,
) -> keras.Model:
    """The paper's network: a backbone with the head on top of it.

    The last layer gives logits: the Softmax of the paper is applied by the
    loss and at prediction, where it is exact.  The head's initial weights
    follow from ``seed`` alone.
    """
    return keras.Sequential(
        [backbone, *head_layers(n_classes, dense, dropout, seed)],
        name="classifier",
    )


def head_layers(
    n_classes: int, dense: int, dropout: float, seed: int
) -> list[keras.layers.Layer]:
    """Dense (ReLU), Dropout and the Dense layer of the logits."""
    first, second = head_initializers(seed)
    return [
        keras.layers.Dense(dense, "relu", kernel_initializer=first),
        keras.layers.Dropout(dropout, seed=seed),
        keras.layers.Dense(n_classes, kernel_initializer=second),
    ]


def head_initializers(seed: int) -> tuple:
    """Keras' default initialiser for both Dense layers, seeded."""
    return tuple(
        keras.initializers.GlorotUniform(seed=2 * seed + layer)
        for layer in (0, 1)
    )


def freeze_batch_normalization(model: keras.Model) -> None:
    """Stop every BatchNormalization layer, nested ones too, from training.

    ``training=False`` in a functional model is not enough under ``fit``.
    Compile after this call.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
        elif isinstance(layer, keras.Model):
            freeze_batch_normalization(layer)


def weights_identity(weights: str, seed: int = 0) -> str:
    """What tells these weights from others, in a cache key or a result.

    "imagenet", "random, seed 0" or "sha256:..." of a file.
    """
    if weights == "imagenet":
        return "imagenet"
    if weights == "random":
        return f"random, seed {seed}"
    return f"sha256:{_file_hash(_weights_file(weights), 'sha256')}"


def _efficientnet_b1(weights, image_size, seed):
    options = {
        "include_top": False,
        "input_shape": (image_size, image_size, 3),
        "pooling": "avg",
    }
    if weights == "random":
        keras.utils.set_random_seed(seed)
        return keras.applications.EfficientNetB1(weights=None, **options)
    if weights == "imagenet":
        try:
            return keras.applications.EfficientNetB1(
                weights="imagenet", **options
            )
        except Exception as error:
            raise FileNotFoundError(
                "weights='imagenet': Keras could not download its file "
                f"({error}). Set WEIGHTS to 'offline', to 'random' or to the "
                "path of an EfficientNetB1 weights file without top."
            ) from error
    path = _weights_file(weights)
    if _file_hash(path, "md5") == _KERAS_IMAGENET_MD5:
        raise ValueError(
            f"{path.name} is Keras' own ImageNet file, which needs one more "
            "rescaling layer than a network loaded by path has. Put it into "
            "the folder models/ of Keras' home (~/.keras) and set "
            "WEIGHTS='imagenet'."
        )
    model = keras.applications.EfficientNetB1(weights=None, **options)
    try:
        model.load_weights(path)
    except Exception as error:
        raise ValueError(
            f"{path.name} does not hold the weights of an EfficientNetB1 "
            f"without top: {error}"
        ) from error
    return model


def _weights_file(weights) -> Path:
    path = OFFLINE_WEIGHTS if weights == "offline" else Path(weights)
    if not path.is_file():
        what = (
            "the offline backbone is not shipped with this version"
            if weights == "offline"
            else f"no such file: {weights}"
        )
        raise FileNotFoundError(
            f"weights: {what}. Set WEIGHTS to 'imagenet' (a download), to "
            "'random' or to the path of an EfficientNetB1 weights file "
            "without top."
        )
    return path


def _file_hash(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
