"""Residual networks for 32 and 224 pixels, and a small one for digits.

Source: He, Zhang, Ren and Sun, *Deep Residual Learning for Image
Recognition*, CVPR 2016, arXiv:1512.03385: basic blocks (Fig. 5, left); where
the shape changes, the shortcut is a 1 x 1 projection (option B), or takes
every second pixel and pads the channels with zeros (option A).  BatchNorm as
in the CEFL paper's framework: a moving average keeps 0.9 of itself a step,
epsilon is 1e-5.  Strided convolutions pad one pixel on *each* side, as that
framework does and Keras' "same" does not.
"""

from functools import partial

import keras
from keras import layers

# Means and standard deviations of training images, R, G, B, 0-255.
CIFAR_PIXELS = ((125.3, 123.0, 113.9), (63.0, 62.1, 66.7))
IMAGENET_PIXELS = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
STAGES_18 = ((64, 2, 1), (128, 2, 2), (256, 2, 2), (512, 2, 2))
STAGES_34 = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))


def residual_network(
    n_classes: int,
    image_shape: tuple[int, int, int],
    seed: int = 0,
    *,
    stages: tuple[tuple[int, int, int], ...],
    pixels: tuple = (127.5, 127.5),
    large: bool = False,
    projection: bool = True,
) -> keras.Model:
    """Build a residual network of basic blocks, untrained.

    Convolutions start from He's normal distribution (arXiv:1502.01852), the
    last layer from the uniform one of +-1 / sqrt(inputs), its bias from 0:
    all of it follows from ``seed`` alone, each layer with its own.

    Parameters
    ----------
    n_classes : logits an image
    image_shape : (height, width, channels) in pixels
    seed : of the initial weights
    stages : (channels, blocks, stride of the first block), one a stage
    pixels : mean and standard deviation, 0-255, one number or one a channel,
        by which images are normalised inside the network
    large : a stem of 7 x 7, stride 2, and pooling, stride 2
    projection : option B of the shortcuts, else A

    Returns
    -------
    A model from images (N, height, width, channels), 0-255, to logits
    (N, n_classes), float32.
    """
    seeds = iter(range(1000 * seed, 1000 * (seed + 1)))

    def normalised(x, channels, side, stride):
        """A convolution without bias, then BatchNorm."""
        if stride > 1 and side > 1:
            x = layers.ZeroPadding2D(side // 2)(x)
        x = layers.Conv2D(
            channels,
            side,
            stride,
            "same" if stride == 1 else "valid",
            use_bias=False,
            kernel_initializer=keras.initializers.HeNormal(next(seeds)),
        )(x)
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)

    mean, std = (keras.ops.convert_to_numpy(v) for v in pixels)
    inputs = keras.Input(image_shape, name="image")
    x = layers.Rescaling(
        (1 / std).tolist(), (-mean / std).tolist(), name="normalise"
    )(inputs)
    x = normalised(x, stages[0][0], *((7, 2) if large else (3, 1)))
    x = layers.ReLU()(x)
    if large:
        # Nothing is negative here, so padding with 0 leaves the maximum.
        x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
    for channels, blocks, first_stride in stages:
        for stride in (first_stride, *[1] * (blocks - 1)):
            y = layers.ReLU()(normalised(x, channels, 3, stride))
            y = normalised(y, channels, 3, 1)
            if stride > 1 or x.shape[-1] != channels:
                if projection:
                    x = normalised(x, channels, 1, stride)
                else:
                    more = channels - x.shape[-1]
                    sides = [(0, 0)] * 3 + [(more // 2, more - more // 2)]
                    x = keras.ops.pad(x[:, ::stride, ::stride], sides)
            x = layers.ReLU()(layers.Add()([y, x]))
    x = layers.GlobalAveragePooling2D()(x)
    uniform = keras.initializers.VarianceScaling(
        1 / 3, "fan_in", "uniform", seed=next(seeds)
    )
    # Half precision ends here: losses want logits in full.
    logits = layers.Dense(
        n_classes, kernel_initializer=uniform, dtype="float32"
    )(x)
    return keras.Model(inputs, logits)


resnet18, resnet34 = (
    partial(
        residual_network, stages=stages, pixels=IMAGENET_PIXELS, large=True
    )
    for stages in (STAGES_18, STAGES_34)
)
"""He et al., Table 1: 11,689,512 and 21,797,672 weights for 1000 classes."""

resnet18_cifar = partial(
    residual_network, stages=STAGES_18, pixels=CIFAR_PIXELS
)
"""With the stem for small images, one 3 x 3 and no pooling, as is usual for
CIFAR today."""

resnet20, resnet32 = (
    partial(
        residual_network,
        stages=((16, n, 1), (32, n, 2), (64, n, 2)),
        pixels=CIFAR_PIXELS,
        projection=False,
    )
    for n in (3, 5)
)
"""He et al., section 4.2, for CIFAR: 6n + 2 layers, 0.27 and 0.46 million
weights; ResNet-32 is the usual one on long-tailed CIFAR."""

small_resnet = partial(residual_network, stages=((16, 1, 2), (32, 1, 2)))
"""Six layers with weights, for digits of 8 x 8 pixels; unpublished."""
