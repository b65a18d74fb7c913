"""Random changes of images while training, drawn anew for every image."""

import keras
from keras import layers, ops

ACNE_AUGMENTATION = ("flip", "rotation by 29°", "zoom by 15 %")
"""The acne paper names rotation, zoom and flip (section 2.2), no strengths."""


def augmentation_layers(
    names: tuple[str, ...], seed: int
) -> list[keras.layers.Layer]:
    """Layers for images 0-255; each acts while training only.

    padded crop : 4 black pixels around, then a crop of the old size
    resized crop : 8 to 100 % of the area, sides 3:4 to 4:3, resized back
    flip : left to right, every second image
    vertical flip : upside down, every second image
    colour jitter : brightness by up to 20 % of the range; contrast and
        saturation times 0.8 to 1.2; hue by up to 2 % of the circle
    rotation : by up to 15 degrees, black behind
    rotation by 29°, zoom by 15 % : both ways; what comes in is mirrored

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


class _Window(layers.Layer):
    """Shows each image through a window of its own, while training.

    Keras' ``RandomCrop`` draws one place for a whole batch.
    """

    interpolation, fill_mode = "bilinear", "nearest"

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = keras.random.SeedGenerator(seed)

    def call(self, images, training=False):
        if not training:
            return images
        count = ops.shape(images)[0]
        scale_y, top, scale_x, left = self.windows(count, *images.shape[1:3])
        none = ops.zeros((count,))
        # Pixels are squares: the first one's centre is half a pixel in.
        moves = (
            (scale_x, none, left + (scale_x - 1) / 2)
            + (none, scale_y, top + (scale_y - 1) / 2)
            + (none, none)
        )
        return ops.image.affine_transform(
            images,
            ops.stack(moves, axis=-1),
            interpolation=self.interpolation,
            fill_mode=self.fill_mode,
            data_format="channels_last",
        )

    def uniform(self, count, low, high):
        return keras.random.uniform((count,), low, high, seed=self.seed)


class PaddedCrop(_Window):
    """Moves each image by whole pixels, black coming in.

    The same as padding on all sides, then cropping to the old size at random
    (He et al. 2016, arXiv:1512.03385, section 4.2: four pixels).
    """

    interpolation, fill_mode = "nearest", "constant"

    def __init__(self, padding, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        self.padding = padding

    def windows(self, count, height, width):
        ones = ops.ones((count,))
        top, left = (
            ops.floor(self.uniform(count, 0, 2 * self.padding + 1))
            - self.padding
            for _ in range(2)
        )
        return ones, top, ones, left


class ResizedCrop(_Window):
    """Takes a random part of each image, resized to the old size.

    8 to 100 % of the area, sides in a ratio of 3:4 to 4:3, evenly on a
    logarithmic scale (Szegedy et al. 2015, arXiv:1409.4842, section 6).  A
    part that is too long for the image is cut off there.
    """

    def windows(self, count, height, width):
        area = self.uniform(count, 0.08, 1)
        log = ops.log(ops.convert_to_tensor(4 / 3))
        ratio = ops.exp(log * self.uniform(count, -1, 1))
        scale_y = ops.minimum(1.0, ops.sqrt(area / ratio))
        scale_x = ops.minimum(1.0, ops.sqrt(area * ratio))
        top = self.uniform(count, 0, 1) * (1 - scale_y) * height
        left = self.uniform(count, 0, 1) * (1 - scale_x) * width
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
    "padded crop": lambda seed: PaddedCrop(4, seed=seed),
    "resized crop": lambda seed: ResizedCrop(seed=seed),
    # Not RandomFlip("horizontal_and_vertical"): it flips both or neither.
    "flip": lambda seed: layers.RandomFlip("horizontal", seed=seed),
    "vertical flip": lambda seed: layers.RandomFlip("vertical", seed=seed),
    "colour jitter": _colour_jitter,
    "rotation": lambda seed: layers.RandomRotation(
        15 / 360, "constant", seed=seed
    ),
    "rotation by 29°": lambda seed: layers.RandomRotation(0.08, seed=seed),
    "zoom by 15 %": lambda seed: layers.RandomZoom(0.15, seed=seed),
}
