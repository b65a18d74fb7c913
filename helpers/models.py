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
_RESTORE = {
    True: "Restore data/weights/ (git checkout data/weights), or set WEIGHTS "
    "to 'imagenet' (a download), to 'random' or to the path of a file.",
    False: "Set WEIGHTS to 'offline', to 'imagenet' (a download), to 'random' "
    "or to the path of an EfficientNetB1 weights file without top.",
}
SCALINGS = ("corrected", "as published")
OFFLINE_SHA256 = (
    "65d866e715a16a4a23d642a003920882bf938494bdfa837a582676a972e2ba06"
)
"""Of the offline weights that this version of the book ships."""

WIDTHS = {
    "block3c_add": 40,
    "block4d_add": 80,
    "block5d_add": 112,
    "block6e_add": 192,
    "block7b_add": 320,
    "top_activation": 1280,
}
"""Depths at which features can be taken, and how many there are at each."""

DEPTHS = ("block4d_add", "block5d_add", "block6e_add", "block7b_add")
"""Where frozen features are taken: the ends of blocks 4 to 7 of 7.

One choice for every kind of weights.  On real red cells the four together
told classes better apart than any single depth, the top included, for
formula-trained and for natural-image weights, and about as well as the top
for random ones; notebook A1 shows it.
"""


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
    network = _loaded(weights, image_size, seed)
    inputs = keras.Input((image_size, image_size, 3), name="picture")
    outputs = network(scaled(inputs, scaling))
    return keras.Model(inputs, outputs, name="efficientnetb1")


def build_extractor(
    weights: str,
    image_size: int,
    seed: int = 0,
    depths: tuple[str, ...] = DEPTHS,
) -> keras.Model:
    """The network that frozen features come from, up to the deepest depth.

    depths: layers of `WIDTHS`; for the rest see `build_backbone`.  A model
    from `scaled` pictures (N, size, size, 3) to features (N, 704): averaged
    over space at each depth, side by side.
    """
    base = _loaded(weights, image_size, seed)
    return keras.Model(base.input, depth_features(base, depths))


def scaled(pixels, scaling: str):
    """Pictures 0-255 as a network is fed them, see `build_backbone`."""
    if scaling not in SCALINGS:
        raise ValueError(f"scaling: {scaling!r} is none of {SCALINGS}")
    if scaling == "as published":
        return keras.layers.Rescaling(1 / 255, name="divide_by_255")(pixels)
    return pixels


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
    for layer in _batch_normalizations(model):
        layer.trainable = False


def set_batch_normalization_momentum(
    model: keras.Model, momentum: float
) -> None:
    """Let every BatchNormalization layer, nested ones too, forget faster.

    With Keras' 0.99 the moving statistics of a network that starts from
    scratch are unusable for hundreds of steps.
    """
    for layer in _batch_normalizations(model):
        layer.momentum = momentum


def _batch_normalizations(model):
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            yield layer
        elif isinstance(layer, keras.Model):
            yield from _batch_normalizations(layer)


def weights_identity(weights: str, seed: int = 0) -> str:
    """What tells these weights from others, in a cache key or a result.

    "imagenet", "random, seed 0" or "sha256:..." of a file.
    """
    if weights == "imagenet":
        return "imagenet"
    if weights == "random":
        return f"random, seed {seed}"
    return f"sha256:{_file_hash(_weights_file(weights), 'sha256')}"


def efficientnet_b1(
    weights: str | None, image_size: int | None
) -> keras.Model:
    """Keras' EfficientNetB1 without top, pooled; any size where it is None."""
    return keras.applications.EfficientNetB1(
        include_top=False,
        weights=weights,
        input_shape=(image_size, image_size, 3),
        pooling="avg",
    )


def depth_features(
    network: keras.Model, depths: tuple[str, ...] = DEPTHS
) -> keras.KerasTensor:
    """Outputs at some depths, averaged over space, side by side: (N, F)."""
    pooled = [
        keras.layers.GlobalAveragePooling2D()(network.get_layer(name).output)
        for name in depths
    ]
    return keras.ops.concatenate(pooled, axis=-1)


def _loaded(weights, image_size, seed):
    if weights == "random":
        keras.utils.set_random_seed(seed)
        return efficientnet_b1(None, image_size)
    if weights == "imagenet":
        try:
            return efficientnet_b1("imagenet", image_size)
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
    model = efficientnet_b1(None, image_size)
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
        what = path.name if weights == "offline" else weights
        raise FileNotFoundError(
            f"weights: no such file: {what}. {_RESTORE[weights == 'offline']}"
        )
    if weights == "offline" and _file_hash(path, "sha256") != OFFLINE_SHA256:
        raise ValueError(
            f"weights: {path.name} is damaged or of another version: its "
            f"SHA-256 is not the expected one. {_RESTORE[True]}"
        )
    return path


def _file_hash(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
