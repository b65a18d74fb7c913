"""Heads on a backbone: the acne paper's, and those on maps, with a gate.

Source: acne paper, section 2.3: EfficientNetB1, global average pooling,
Dense (ReLU), Dropout, Softmax.  The widths are not in the paper; ours are
listed as assumptions in notebook 03.

A head on maps makes a chain, ``[base, *head]``: a frozen base may be run
once and its maps kept (``base.predict``), many heads trained on them
(`head_on_maps`), and the best put back on the base (`attach`).  Where it
looks is told by its gate, ``gate.attention(base(images))``, and by `grad_cam`.
"""

import keras
import numpy as np
from keras import layers, ops
from scipy.stats import rankdata

POOLINGS = ("average", "max", "attention")


def build_classifier(
    backbone: keras.Model,
    n_classes: int,
    dense: int = 128,
    dropout: float = 0.3,
    seed: int = 0,
) -> keras.Model:
    """The paper's network: a backbone with the head on top of it.

    The last layer gives logits: the Softmax of the paper is applied by the
    loss and at prediction, where it is exact.
    """
    head = head_layers(n_classes, dense, dropout, seed)
    return keras.Sequential([backbone, *head], name="classifier")


def head_layers(
    n_classes: int, dense: int, dropout: float, seed: int
) -> list[keras.layers.Layer]:
    """Dense (ReLU), Dropout and the Dense layer of the logits, float32."""
    first, second = head_initializers(seed)
    return [
        layers.Dense(dense, "relu", kernel_initializer=first),
        layers.Dropout(dropout, seed=seed),
        # Half precision ends here: losses want logits in full.
        layers.Dense(n_classes, kernel_initializer=second, dtype="float32"),
    ]


def head_initializers(seed: int) -> tuple:
    """Keras' default initialiser for both Dense layers, seeded."""
    return tuple(
        keras.initializers.GlorotUniform(seed=2 * seed + layer)
        for layer in (0, 1)
    )


class SpatialGate(layers.Layer):
    """Multiplies maps by a number between 0 and 1 at each place.

    The number comes from the features at that place alone, through two 1 x 1
    convolutions: gate = sigmoid(w2 . relu(W1 x + b1) + b2), 64 hidden
    features, F x 64 + 129 parameters.  It is a single head of additive
    attention without the softmax over places, so that several places, or
    none, may be let through.

    Averaged over space, gate x maps is the mean gate times the mean maps plus
    the covariance, over places, of gate and maps: that covariance is all that
    the gate adds.

    Parameters
    ----------
    everywhere : the control: the gate's mean over space multiplies every
        place, with the same parameters and without that covariance
    seed : of both convolutions (Glorot's uniform distribution)

    Maps (N, h, w, F) in and out; `attention` gives the gate, (N, h, w, 1).
    """

    def __init__(self, everywhere: bool = False, seed: int = 0, **options):
        super().__init__(**options)
        self.everywhere = everywhere
        first, second = head_initializers(seed)
        self.hidden = layers.Conv2D(
            64, 1, activation="relu", kernel_initializer=first
        )
        self.gate = layers.Conv2D(
            1, 1, activation="sigmoid", kernel_initializer=second
        )

    def build(self, input_shape):
        """Make the weights of both convolutions."""
        self.hidden.build(input_shape)
        self.gate.build((*input_shape[:-1], 64))

    def attention(self, maps):
        """The gate at each place: (N, h, w, F) -> (N, h, w, 1)."""
        gate = self.gate(self.hidden(maps))
        if self.everywhere:
            mean = ops.mean(gate, axis=(1, 2), keepdims=True)
            gate = ops.broadcast_to(mean, ops.shape(gate))
        return gate

    def call(self, maps):
        """Maps times their gate."""
        return maps * self.attention(maps)


def head_on_maps(
    n_classes: int,
    maps_shape: tuple[int, int, int],
    seed: int = 0,
    pooling: str = "average",
    dense: int = 128,
    equal_parameters: bool = False,
) -> keras.Sequential:
    """Pooling, Dense (ReLU) and the Dense layer of the logits.

    Parameters
    ----------
    n_classes : logits an image
    maps_shape : (h, w, F), as ``base.output_shape[1:]``
    seed : of the initial weights; the Dense layers start from the same ones
        whatever the pooling is
    pooling : over space: "average", "max", or "attention", the average
        behind a `SpatialGate`
    dense : width of the hidden layer
    equal_parameters : "average" and "max" get the gate's parameters too, in
        a gate that is the same everywhere

    Returns
    -------
    A model from maps (N, h, w, F) to logits (N, n_classes), float32.  Raises
    ValueError for another pooling.
    """
    if pooling not in POOLINGS:
        raise ValueError(f"pooling: {pooling!r} is none of {POOLINGS}")
    chain = [keras.Input(maps_shape)]
    if pooling == "attention" or equal_parameters:
        everywhere = pooling != "attention"
        chain.append(SpatialGate(everywhere, 1000 * seed + 200, name="gate"))
    pool = layers.GlobalAveragePooling2D
    if pooling == "max":
        pool = layers.GlobalMaxPooling2D
    hidden, _, logits = head_layers(n_classes, dense, 0, 500 * seed + 300)
    chain += [pool(name="pool"), hidden, logits]
    return keras.Sequential(chain, name="head")


def attach(base: keras.Model, head: keras.Sequential) -> keras.Sequential:
    """A head on a base, sharing the weights of both: images to logits.

    The base is the first of the model's layers; the head's follow one by one.
    """
    image = keras.Input(base.input_shape[1:], name="image")
    return keras.Sequential([image, base, *head.layers], name="classifier")


def small_base(
    image_shape: tuple[int, int, int] = (64, 64, 3), seed: int = 0
) -> keras.Sequential:
    """The convolutions of a small VGG: images 0-255 to maps.

    As in VGG (Simonyan & Zisserman, arXiv:1409.1556): three blocks of two
    3 x 3 convolutions (ReLU), 8, 16 and 32 wide, each at half the side of the
    one before; the last is not pooled, since the head does that.  BatchNorm
    stands before the first ReLU of each block, unlike in VGG: without it some
    seeds grade every image alike for many epochs.  He's normal distribution
    (arXiv:1502.01852), seeded.  With a head of 32 (`head_on_maps`) 19,540
    parameters for 4 classes, 21,717 with a gate.
    """
    chain = [keras.Input(image_shape), layers.Rescaling(1 / 127.5, -1)]
    for number in range(6):
        if number in (2, 4):
            chain.append(layers.MaxPooling2D())
        chain.append(
            layers.Conv2D(
                8 * 2 ** (number // 2),
                3,
                padding="same",
                use_bias=number % 2 == 1,
                kernel_initializer=keras.initializers.HeNormal(
                    1000 * seed + number
                ),
            )
        )
        if number % 2 == 0:
            chain.append(layers.BatchNormalization(momentum=0.9))
        chain.append(layers.ReLU())
    return keras.Sequential(chain, name="small_vgg")


def grad_cam(
    model: keras.Sequential, images: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Grad-CAM: which places speak for a class.

    Selvaraju et al., ICCV 2017, arXiv:1610.02391, eq. (1)-(2): the base's
    maps, each weighted by the mean over places of the gradient of the class's
    logit, summed; what is negative, and speaks for other classes, becomes 0.

    Parameters
    ----------
    model : a chain of base and head, from images to logits (N, C)
    images : (N, H, W, 3), 0-255, all in memory at once
    labels : int (N,), the class that a map is asked for

    Returns
    -------
    float32 (N, h, w), 0 or more, on no common scale, as coarse as the maps.
    """
    base, *head = model.layers

    def of_class(maps):
        """Sum of each image's logit of its class: its maps move no other."""
        for layer in head:
            maps = layer(maps, training=False)
        return ops.sum(maps * ops.one_hot(labels, maps.shape[-1]))

    maps = base(ops.convert_to_tensor(images, "float32"))
    slope = ops.mean(_gradient(of_class, maps), axis=(1, 2), keepdims=True)
    cam = ops.relu(ops.sum(slope * maps, axis=-1))
    return ops.convert_to_numpy(cam)


def _gradient(function, values):
    """Gradient of a scalar function, with JAX or TensorFlow."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.grad(function)(values)
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(values)
        result = function(values)
    return tape.gradient(result, values)


def randomised(model: keras.Model, seed: int = 0) -> keras.Model:
    """The same network with every weight in another's place.

    The sanity check of Adebayo et al., NeurIPS 2018, arXiv:1810.03292: a map
    that stays the same when the network has forgotten all it learnt shows
    the image (its edges, its bright places), not what was learnt.  They
    draw new weights; here each array is shuffled, which keeps its values, so
    that no network falls silent because of their size.
    """
    rng = np.random.default_rng(seed)
    copy = keras.models.clone_model(model)
    weights = model.get_weights()
    copy.set_weights([rng.permuted(values) for values in weights])
    return copy


def places_found(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """How well a map tells places with a lesion from places without: (N,).

    The area under the ROC curve over an image's places: 1 where every place
    with a lesion is above all others, 0.5 by chance, below where the map
    shuns them.  NaN where all places are of one kind.

    maps : (N, h, w)
    masks : bool (N, H, W), true on lesions, H and W multiples of h and w; a
        place holds a lesion where any of its pixels does
    """
    n, height, width = maps.shape
    cells = np.reshape(masks, (n, height, -1, width, masks.shape[2] // width))
    lesion = cells.any(axis=(2, 4)).reshape(n, -1)
    ranks = rankdata(maps.reshape(n, -1), axis=1)
    inside = lesion.sum(axis=1)
    # Mann and Whitney: the pairs in which the lesion's place is above.
    above = (ranks * lesion).sum(axis=1) - inside * (inside + 1) / 2
    pairs = inside * (lesion.shape[1] - inside)
    return np.where(pairs > 0, above / np.maximum(pairs, 1), np.nan)


def unfreeze(model: keras.Model, momentum: float | None = None) -> None:
    """Let a network be trained whole, but for BatchNorm where it has to stay.

    ``training=False`` in a functional model does not stop BatchNormalization
    under ``fit``.  Compile after this call.

    momentum : how much of themselves BatchNorm's moving statistics keep a
        step (with Keras' 0.99 those of a network that starts from scratch
        are unusable for hundreds of steps); None freezes BatchNorm
    """
    model.trainable = True
    for layer in _batch_normalizations(model):
        if momentum is None:
            layer.trainable = False
        else:
            layer.momentum = momentum


def _batch_normalizations(model):
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            yield layer
        elif isinstance(layer, keras.Model):
            yield from _batch_normalizations(layer)
