"""The losses under study, as Keras losses on logits.

Each loss returns one value a sample; Keras' default reduction then divides
the sum by the *batch size*, never by the sum of the weights.  PyTorch's
``CrossEntropyLoss(weight=...)`` divides by the sum of the weights instead, so
the two agree only where a batch has the class shares of the training part.

All of them share what `CrossEntropy` says of labels, probabilities and
precision.  To add one, subclass it and override ``per_sample``.
"""

import keras
import numpy as np
from keras import ops

PACKAGE = "imbalance_workbook"
_SMALLEST = 1e-30
_SHORT = ("bool", "int8", "uint8", "int16", "uint16")
_ROUNDING = 1e-2  # How far above 1 a probability in half precision may be.


@keras.saving.register_keras_serializable(package=PACKAGE)
class CrossEntropy(keras.losses.Loss):
    """Categorical cross-entropy, ``-log p_y``: every sample counts the same.

    Source: acne paper, section 2.4.1 (scenario A); CEFL paper, eq. (4),
    doi:10.1109/ACCESS.2020.2991237.

    Parameters
    ----------
    from_logits : bool
        Where False, predictions are probabilities.  Their logarithms are
        logits that softmax turns into the same probabilities again, so every
        loss here has one formula for both.  Softmax also divides by the sum,
        as Keras' losses do, which shifts a gradient by the same amount in
        every class.  A probability below 1e-30 counts as 1e-30: there the
        loss is finite, and does not pull.

    Shapes: labels integer (..., N) or (..., N, 1), or one-hot (..., N, C);
    predictions float (..., N, C), C at least 2; result (..., N) before the
    reduction.  Half-precision predictions are taken to float32 first.
    For logits (0, 0) the loss is log 2 = 0.6931.

    Raises
    ------
    ValueError
        Where the shapes of labels and predictions do not fit, there is one
        output column only, class indices are floats (when called as Keras
        calls a loss), a label is no class index or no one-hot row (soft
        labels are none), or a probability is not in 0 to 1.  Compiled code
        cannot look at values: there the loss of such a sample is NaN.
    """

    def __init__(self, from_logits=True, name="cross_entropy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.from_logits = from_logits

    def __call__(self, y_true, y_pred, sample_weight=None):
        # Keras turns labels into floats next: only here are theirs known.
        if not _has_class_axis(y_true, y_pred) and _is_float(y_true):
            raise ValueError(
                "labels: class indices must be integers, got floats; cast "
                'them, labels.astype("int32"), or give one-hot rows'
            )
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true, y_pred):
        logits = ops.convert_to_tensor(y_pred)
        logits = ops.cast(
            logits, keras.backend.result_type(logits.dtype, "float32")
        )
        truth, sound = _one_hot(y_true, logits)
        if not self.from_logits:
            inside = (logits >= 0) & (logits <= 1 + _ROUNDING)
            sound *= _sound(
                ops.all(inside, axis=-1),
                logits,
                "predictions: probabilities of 0 to 1 are needed where "
                "from_logits is False",
            )
            logits = ops.log(ops.maximum(logits, _SMALLEST))
        return sound * self.per_sample(truth, logits)

    def per_sample(self, truth, logits):
        """Losses (..., N) of one-hot labels and logits (..., N, C)."""
        return -ops.sum(truth * ops.log_softmax(logits, axis=-1), axis=-1)

    def get_config(self):
        return {**super().get_config(), "from_logits": self.from_logits}


@keras.saving.register_keras_serializable(package=PACKAGE)
class WeightedCrossEntropy(CrossEntropy):
    """Class-weighted cross-entropy, ``-w_y log p_y``.

    Source: acne paper, section 2.4.2 (scenario B), with the weights of its
    eq. (1), see `helpers.imbalance.balanced_weights`.  With those of
    `helpers.imbalance.effective_number_weights` it is the class-balanced
    cross-entropy of Cui et al. (2019), arXiv:1901.05555.  The same training
    loss as Keras' ``fit(class_weight=...)``: divided by the batch size.

    Parameters
    ----------
    class_weights : float array (C,) or (..., 1, C)
        One weight a class.  Leading axes let several training sets, each
        with weights of its own, share one call: they broadcast against the
        logits' leading axes.

    Shapes: as `CrossEntropy`.  For logits (0, 0), label 1 and weights
    (0.5, 2) the loss is 2 log 2 = 1.3863.

    Raises
    ------
    ValueError
        Where a weight is negative or not finite.
    """

    def __init__(
        self,
        class_weights,
        from_logits=True,
        name="weighted_cross_entropy",
        **kwargs,
    ):
        super().__init__(from_logits, name, **kwargs)
        self.class_weights = checked("class_weights", class_weights)

    def per_sample(self, truth, logits):
        weight = ops.sum(
            truth * as_tensor(self.class_weights, logits), axis=-1
        )
        return weight * super().per_sample(truth, logits)

    def get_config(self):
        weights = self.class_weights.tolist()
        return {**super().get_config(), "class_weights": weights}


class _Modulated(CrossEntropy):
    """Cross-entropy times a factor that depends on p alone, not on counts.

    ``p`` and ``1 - p`` come from the log-odds of the true class, so that
    neither is lost where float32 rounds the other one to 1.
    """

    def __init__(self, gamma, from_logits, name, **kwargs):
        super().__init__(from_logits, name, **kwargs)
        self.gamma = checked("gamma", gamma)

    def per_sample(self, truth, logits):
        true = truth > 0
        own = ops.sum(ops.where(true, logits, 0.0), axis=-1)
        others = ops.logsumexp(ops.where(true, -np.inf, logits), axis=-1)
        odds = own - others
        return self.factor(odds) * ops.softplus(-odds)

    def focus(self, odds):
        """Focal loss's factor, (1 - p)^gamma."""
        return ops.exp(-as_tensor(self.gamma, odds) * ops.softplus(odds))

    def get_config(self):
        return {**super().get_config(), "gamma": self.gamma.tolist()}


@keras.saving.register_keras_serializable(package=PACKAGE)
class Focal(_Modulated):
    """Focal loss, ``-alpha_y (1 - p)^gamma log p`` with p = p_y.

    Source: Lin et al. (2017), arXiv:1708.02002; CEFL paper, eq. (6) and,
    with alpha, eq. (7).  One number as alpha, as in eq. (7), is the same for
    every class and only rescales the loss; a weight a class rebalances, and
    at gamma = 0 is `WeightedCrossEntropy`.  With the weights of
    `helpers.imbalance.effective_number_weights` as alpha it is the
    class-balanced focal loss of Cui et al. (2019), arXiv:1901.05555, who
    write it with one sigmoid a class where this one has a softmax.

    Parameters
    ----------
    gamma : float, not negative; or array (..., 1) against leading axes
    alpha : float, or array (C,) or (..., 1, C): a weight a class

    Shapes: as `CrossEntropy`.  For p = 3/4, gamma = 2 and alpha = 1 the loss
    is log(4/3) / 16 = 0.01798.

    Raises
    ------
    ValueError
        Where gamma or alpha is negative or not finite.
    """

    def __init__(
        self, gamma=2.0, alpha=1.0, from_logits=True, name="focal", **kwargs
    ):
        super().__init__(gamma, from_logits, name, **kwargs)
        self.alpha = checked("alpha", alpha)

    def per_sample(self, truth, logits):
        alpha = ops.sum(truth * as_tensor(self.alpha, logits), axis=-1)
        return alpha * super().per_sample(truth, logits)

    def factor(self, odds):
        return self.focus(odds)

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha.tolist()}


@keras.saving.register_keras_serializable(package=PACKAGE)
class CEFL(_Modulated):
    """CEFL, ``-[(1 - p) + p (1 - p)^gamma] log p`` with p = p_y.

    Cross-entropy where a sample is hard, focal loss where it is easy, mixed
    with weights 1 - p and p.  Source: CEFL paper, eq. (9),
    doi:10.1109/ACCESS.2020.2991237.

    Parameters
    ----------
    gamma : float, not negative; or array (..., 1) against leading axes.
        At gamma = 0 the loss is cross-entropy.

    Shapes: as `CrossEntropy`.  For p = 3/4 and gamma = 2 the loss is
    (19/64) log(4/3) = 0.08541.

    Raises
    ------
    ValueError
        Where gamma is negative or not finite.
    """

    def __init__(self, gamma=2.0, from_logits=True, name="cefl", **kwargs):
        super().__init__(gamma, from_logits, name, **kwargs)

    def factor(self, odds):
        return ops.sigmoid(-odds) + ops.sigmoid(odds) * self.focus(odds)


@keras.saving.register_keras_serializable(package=PACKAGE)
class CEFL2(_Modulated):
    """CEFL2, ``-[q + (1 - q) (1 - p)^gamma] log p`` with p = p_y.

    ``q = (1 - p)^2 / ((1 - p)^2 + p^2)``: as `CEFL`, turning faster from
    cross-entropy to focal loss.  Source: CEFL paper, eq. (11),
    doi:10.1109/ACCESS.2020.2991237.

    Parameters
    ----------
    gamma : float, not negative; or array (..., 1) against leading axes.
        At gamma = 0 the loss is cross-entropy.

    Shapes: as `CrossEntropy`.  For p = 3/4 and gamma = 2 the loss is
    (5/32) log(4/3) = 0.04495.

    Raises
    ------
    ValueError
        Where gamma is negative or not finite.
    """

    def __init__(self, gamma=2.0, from_logits=True, name="cefl2", **kwargs):
        super().__init__(gamma, from_logits, name, **kwargs)

    def factor(self, odds):
        # q is the sigmoid of minus twice the log-odds.
        odds2 = 2 * odds
        return ops.sigmoid(-odds2) + ops.sigmoid(odds2) * self.focus(odds)


def checked(name, values):
    """float32 array of a loss's numbers, finite and not negative."""
    array = np.asarray(values, "float32")
    if not (np.isfinite(array).all() and (array >= 0).all()):
        raise ValueError(
            f"{name} must be finite and not negative, got {values}; a class "
            "without samples has no weight"
        )
    return array


def as_tensor(array, like):
    return ops.convert_to_tensor(array, like.dtype)


def check_labels(labels) -> None:
    """Refuse training labels that are no vector of class indices.

    For trainers, before anything is compiled: labels int (N,), 0 ... C - 1.

    Raises
    ------
    ValueError
        Where labels are no vector of integers, or one is negative.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            "labels: a vector of integers is needed, got "
            f"{labels.dtype} of shape {labels.shape}"
        )
    if labels.size and labels.min() < 0:
        raise ValueError(
            f"labels: class indices start at 0, got {labels.min()}"
        )


def _has_class_axis(labels, predictions):
    """Whether labels are rows as long as those of the predictions."""
    shape, wide = tuple(np.shape(labels)), tuple(np.shape(predictions))
    return len(shape) == len(wide) and shape[-1:] == wide[-1:]


def _is_float(labels):
    dtype = getattr(labels, "dtype", None) or np.asarray(labels).dtype
    return keras.backend.is_float_dtype(dtype)


def _one_hot(labels, logits):
    """One-hot labels (..., N, C), and what `_sound` says of each, (..., N)."""
    if not ops.is_tensor(labels):
        labels = np.asarray(labels)
    n_classes = logits.shape[-1]
    if n_classes == 1:
        raise ValueError(
            "predictions: one output column; a column a class is needed, two "
            "columns for two classes"
        )
    if _has_class_axis(labels, logits):
        _check_shape(labels.shape, logits.shape, labels, logits)
        truth = ops.cast(labels, logits.dtype)
        single = ops.sum(truth, axis=-1) == 1
        binary = ops.all((truth == 0) | (truth == 1), axis=-1)
        return truth, _sound(
            single & binary,
            truth,
            "labels: one-hot rows, a single 1 among zeros, are needed (soft "
            "labels and several classes at once are not supported)",
        )
    shape = tuple(labels.shape)
    if len(shape) == len(logits.shape) and shape[-1] == 1:
        labels, shape = labels[..., 0], shape[:-1]
    _check_shape(shape, logits.shape[:-1], labels, logits)
    if keras.backend.standardize_dtype(labels.dtype) in _SHORT:
        labels = ops.cast(labels, "int32")
    sound = (labels >= 0) & (labels < n_classes) & (labels % 1 == 0)
    sound = _sound(
        sound,
        labels,
        f"labels: class indices 0 to {n_classes - 1} are needed for "
        f"{n_classes} output columns",
    )
    indices = ops.cast(labels, "int32")
    return ops.one_hot(indices, n_classes, dtype=logits.dtype), sound


def _check_shape(shape, wanted, labels, logits):
    """Refuse another shape; an axis of unknown length (None) fits any."""
    fits = len(shape) == len(wanted) and all(
        own == other or None in (own, other)
        for own, other in zip(shape, wanted, strict=True)
    )
    if not fits:
        raise ValueError(
            "labels: integers without the class axis or one-hot rows are "
            f"needed, got shape {tuple(labels.shape)} for predictions "
            f"{tuple(logits.shape)}"
        )


def _sound(sound, values, message):
    """1 for each sample; an error, or NaN in compiled code, for a bad one.

    sound: bool (..., N); values: (..., N) or (..., N, C), to show a bad one.
    """
    try:
        all_sound = bool(ops.all(sound))
    except TypeError:  # Compiled code: values are not known yet.
        return ops.where(sound, 1.0, np.nan)
    if not all_sound:
        bad = ~ops.convert_to_numpy(sound)
        raise ValueError(
            f"{message}; got {ops.convert_to_numpy(values)[bad][0]}"
        )
    return 1.0
