"""The acne paper's head, and what a network's BatchNorm does in training.

Source: acne paper, section 2.3: EfficientNetB1, global average pooling,
Dense (ReLU), Dropout, Softmax.  The widths are not in the paper; ours are
listed as assumptions in notebook 03.
"""

import keras


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
    head = head_layers(n_classes, dense, dropout, seed)
    return keras.Sequential([backbone, *head], name="classifier")


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
