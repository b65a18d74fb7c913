"""A spatial gate on a network's maps, its controls, and a small VGG.

A network here is a chain, ``[base, *head]``: the base turns images into maps,
the head maps into logits.  A frozen base may so be run once and its maps kept
(``base.predict``), many heads trained on them (`head_on_maps`), and the best
put back on the base (`attach`).
"""

import keras
from keras import layers

POOLINGS = ("average", "max", "attention")


@keras.saving.register_keras_serializable("imbalance_workbook")
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
        self.everywhere, self.seed = everywhere, seed
        first, second = _glorot(2 * seed)
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
            mean = keras.ops.mean(gate, axis=(1, 2), keepdims=True)
            gate = keras.ops.broadcast_to(mean, keras.ops.shape(gate))
        return gate

    def call(self, maps):
        """Maps times their gate."""
        return maps * self.attention(maps)

    def get_config(self):
        """What `__init__` takes."""
        own = {"everywhere": self.everywhere, "seed": self.seed}
        return {**super().get_config(), **own}


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
    A model from maps (N, h, w, F) to logits (N, n_classes), float32.

    Raises
    ------
    ValueError
        For another pooling.
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
    first, second = _glorot(1000 * seed + 600)
    chain += [
        pool(name="pool"),
        layers.Dense(dense, "relu", kernel_initializer=first),
        # Half precision ends here: losses want logits in full.
        layers.Dense(n_classes, kernel_initializer=second, dtype="float32"),
    ]
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
    one before.  The last is not pooled, since the head does that: 64 pixels
    give maps of 16 x 16.  BatchNorm stands before the first ReLU of each
    block, unlike in VGG: without it some seeds grade every image alike for
    many epochs, and before each ReLU it costs more time and gains little.
    He's normal distribution (arXiv:1502.01852), seeded.  With a head of 32
    (`head_on_maps`) 19,540 parameters for 4 classes, 21,717 with a gate.
    """
    chain = [keras.Input(image_shape), layers.Rescaling(1 / 127.5, -1)]
    for number in range(6):
        if number in (2, 4):
            chain.append(layers.MaxPooling2D())
        draw = keras.initializers.HeNormal(1000 * seed + number)
        chain.append(
            layers.Conv2D(
                8 * 2 ** (number // 2),
                3,
                padding="same",
                use_bias=number % 2 == 1,
                kernel_initializer=draw,
            )
        )
        if number % 2 == 0:
            chain.append(layers.BatchNormalization(momentum=0.9))
        chain.append(layers.ReLU())
    return keras.Sequential(chain, name="small_vgg")


def _glorot(seed):
    """Two draws of Glorot's uniform distribution, one a layer."""
    return [keras.initializers.GlorotUniform(seed + k) for k in (0, 1)]
