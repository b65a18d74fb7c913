"""The losses under study, as Keras losses on logits.

Each loss returns one value a sample; Keras' default reduction then divides
the sum by the *batch size*, never by the sum of the weights.  PyTorch's
``CrossEntropyLoss(weight=...)`` divides by the sum of the weights instead, so
the two agree only where a batch has the class shares of the training part.
"""

import keras
import numpy as np
from keras import ops

_PACKAGE = "imbalance_workbook"


@keras.saving.register_keras_serializable(package=_PACKAGE)
class CrossEntropy(keras.losses.Loss):
    """Categorical cross-entropy, ``-log p_y``: every sample counts the same.

    Source: acne paper, section 2.4.1 (scenario A).

    Shapes: labels integer (..., N); logits float (..., N, C); result (..., N)
    before the reduction.  For logits (0, 0) the loss is log 2 = 0.6931.
    """

    def __init__(self, name="cross_entropy", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        picked = _one_hot(y_true, y_pred) * ops.log_softmax(y_pred, axis=-1)
        return -ops.sum(picked, axis=-1)


@keras.saving.register_keras_serializable(package=_PACKAGE)
class WeightedCrossEntropy(CrossEntropy):
    """Class-weighted cross-entropy, ``-w_y log p_y``.

    Source: acne paper, section 2.4.2 (scenario B), with the weights of its
    eq. (1), see `helpers.imbalance.balanced_weights`.  The same training loss
    as Keras' ``fit(class_weight=...)``: divided by the batch size.

    Parameters
    ----------
    class_weights : float array (C,) or (..., 1, C)
        One weight a class.  Leading axes let several training sets, each
        with weights of its own, share one call: they broadcast against the
        logits' leading axes.

    Shapes: labels integer (..., N); logits float (..., N, C); result (..., N)
    before the reduction.  For logits (0, 0), label 1 and weights (0.5, 2) the
    loss is 2 log 2 = 1.3863.

    Raises
    ------
    ValueError
        Where a weight is negative or not finite.
    """

    def __init__(self, class_weights, name="weighted_cross_entropy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.class_weights = np.asarray(class_weights, "float32")
        if not (
            np.isfinite(self.class_weights).all()
            and (self.class_weights >= 0).all()
        ):
            raise ValueError(
                "class_weights must be finite and not negative; a class "
                f"without samples has no weight: {class_weights}"
            )

    def call(self, y_true, y_pred):
        weights = ops.cast(self.class_weights, y_pred.dtype)
        weight = ops.sum(_one_hot(y_true, y_pred) * weights, axis=-1)
        return weight * super().call(y_true, y_pred)

    def get_config(self):
        weights = self.class_weights.tolist()
        return {**super().get_config(), "class_weights": weights}


def _one_hot(labels, logits):
    return ops.one_hot(
        ops.cast(labels, "int32"), logits.shape[-1], dtype=logits.dtype
    )
