"""Random changes of images while training, drawn anew for every image."""

from collections.abc import Callable

import keras
import numpy as np
from keras import layers, ops

ACNE_AUGMENTATION = ("flip", "rotation by 29°", "zoom by 15 %")
"""The acne paper names rotation, zoom and flip (section 2.2), no strengths."""


def augmentation_layers(
    names: tuple[str, ...], seed: int
) -> list[keras.layers.Layer]:
    """Layers for images 0-255; each acts while training only.

    padded crop : 4 black pixels around, then a crop of the old size (He et
        al. 2016, arXiv:1512.03385, section 4.2)
    resized crop : 8 to 100 % of the area, sides 3:4 to 4:3, evenly on a
        logarithmic scale, resized back (Szegedy et al. 2015, arXiv:1409.4842,
        section 6); what is too long for the image is cut off there
    flip : left to right, every second image
    vertical flip : upside down, every second image
    colour jitter : brightness by up to 20 % of the range; contrast and
        saturation times 0.8 to 1.2; hue by up to 2 % of the circle
    rotation : by up to 15 degrees, black behind
    rotation by 15°, rotation by 29°, zoom by 15 % : both ways; what comes in
        is mirrored

    The CEFL paper's Table 1 and the acne paper's section 2.2 name the kinds,
    not their strengths; these are the usual ones.  Raises ValueError for
    another name.
    """
    unknown = sorted(set(names) - set(_LAYERS))
    if unknown:
        raise ValueError(f"names: {unknown} not in {sorted(_LAYERS)}")
    made = [_LAYERS[name](seed + place) for place, name in enumerate(names)]
    if keras.backend.backend() == "jax":
        # Keras marks some as unfit to be compiled because TensorFlow's XLA
        # lacks an operation; with JAX the whole model would then run
        # operation by operation.
        for layer in made:
            layer.supports_jit = True
    return made


def rotated_copies(images: np.ndarray, seed: int = 0) -> np.ndarray:
    """Copy each image, rotated and flipped at random.

    As the red-cell paper does with rare cells,
    doi:10.1007/s12652-020-01773-x, section 4.2: by up to 15 degrees to either
    side, with flips left-right and up-down, each with probability 1/2.  What
    comes in from outside is mirrored: black corners would tell a copy, and
    with it a rare class.

    images : uint8 (N, H, W, channels); repeated ones get different copies

    Returns uint8 (N, H, W, channels).
    """
    copies = images.astype("float32")
    names = "flip", "vertical flip", "rotation by 15°"
    for layer in augmentation_layers(names, seed):
        copies = layer(copies, training=True)
    copies = np.rint(ops.convert_to_numpy(copies))
    return copies.clip(0, 255).astype(np.uint8)


class Window(layers.Layer):
    """Shows each image through a window of its own, while training.

    Keras' ``RandomCrop`` draws one place for a whole batch.

    windows : from a function that draws numbers evenly between two, one an
        image, and an image's height and width, to each window's height as a
        share of the image's and its top in pixels, its width and its left
    """

    def __init__(
        self,
        windows: Callable,
        seed: int,
        interpolation: str = "bilinear",
        fill_mode: str = "nearest",
    ):
        super().__init__()
        self.windows, self.seed = windows, keras.random.SeedGenerator(seed)
        self.options = {"interpolation": interpolation, "fill_mode": fill_mode}

    def call(self, images, training=False):
        if not training:
            return images
        count = ops.shape(images)[0]

        def uniform(low, high):
            return keras.random.uniform((count,), low, high, seed=self.seed)

        height, top, width, left = self.windows(uniform, *images.shape[1:3])
        none = ops.zeros((count,))
        # Pixels are squares: the first one's centre is half a pixel in.
        moves = (width + none, none, left + (width - 1) / 2)
        moves += (none, height + none, top + (height - 1) / 2, none, none)
        return ops.image.affine_transform(
            images,
            ops.stack(moves, axis=-1),
            data_format="channels_last",
            **self.options,
        )


def _padded_crop(uniform, height, width):
    top, left = (ops.floor(uniform(0, 9)) - 4 for _ in range(2))
    return 1.0, top, 1.0, left


def _resized_crop(uniform, height, width):
    area = uniform(0.08, 1)
    log = ops.log(ops.convert_to_tensor(4 / 3))
    ratio = ops.exp(log * uniform(-1, 1))
    scale_y = ops.minimum(1.0, ops.sqrt(area / ratio))
    scale_x = ops.minimum(1.0, ops.sqrt(area * ratio))
    top = uniform(0, 1) * (1 - scale_y) * height
    left = uniform(0, 1) * (1 - scale_x) * width
    return scale_y, top, scale_x, left


def _colour_jitter(seed):
    return layers.RandomColorJitter(
        value_range=(0, 255),
        brightness_factor=0.2,
        # One number would only raise the contrast, times 1 to 1.2.
        contrast_factor=(0.2, 0.2),
        # A factor f multiplies the saturation by f / (1 - f).
        saturation_factor=(0.8 / 1.8, 1.2 / 2.2),
        # Half of the factor is the share of the circle.
        hue_factor=0.04,
        seed=seed,
    )


_LAYERS = {
    "padded crop": lambda s: Window(_padded_crop, s, "nearest", "constant"),
    "resized crop": lambda s: Window(_resized_crop, s),
    # Not RandomFlip("horizontal_and_vertical"): it flips both or neither.
    "flip": lambda s: layers.RandomFlip("horizontal", seed=s),
    "vertical flip": lambda s: layers.RandomFlip("vertical", seed=s),
    "colour jitter": _colour_jitter,
    "rotation": lambda s: layers.RandomRotation(15 / 360, "constant", seed=s),
    "rotation by 15°": lambda s: layers.RandomRotation(15 / 360, seed=s),
    "rotation by 29°": lambda s: layers.RandomRotation(0.08, seed=s),
    "zoom by 15 %": lambda s: layers.RandomZoom(0.15, seed=s),
}
