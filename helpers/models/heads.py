"""The acne paper's head on a backbone.

Source: acne paper, section 2.3: EfficientNetB1, global average pooling,
Dense (ReLU), Dropout, Softmax.  The widths are not in the paper; ours are
listed as assumptions in notebook 03.
"""

import keras
from keras import layers


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
