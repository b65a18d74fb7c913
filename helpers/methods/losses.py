"""The losses under study, as Keras losses on logits.

Each loss returns one value a sample; Keras' default reduction then divides
the sum by the *batch size*, never by the sum of the weights.  PyTorch's
``CrossEntropyLoss(weight=...)`` divides by the sum of the weights instead, so
the two agree only where a batch has the class shares of the training set.

All of them share what `CrossEntropy` says of shapes, labels, probabilities
and precision.  A parameter that is negative or not finite, and a count of 0,
raises ValueError.  With leading axes, such as class weights (R, 1, C), a
parameter serves R training sets in one call: it broadcasts against the
logits.  To add a loss, subclass one and override ``per_sample``.
"""

import re

import keras
import numpy as np
from keras import ops

COSINE_SCALE = 30.0
"""What a cosine classifier multiplies its cosines by (Cao et al.'s code)."""

_POSITIVE = ("counts", "cap")  # The other parameters may be 0.


class CrossEntropy(keras.losses.Loss):
    """Categorical cross-entropy, ``-log p_y``: every sample counts the same.

    Source: acne paper, section 2.4.1 (scenario A); CEFL paper, eq. (4),
    doi:10.1109/ACCESS.2020.2991237.

    Parameters
    ----------
    name, reduction, dtype : see `keras.losses.Loss`
    parameters : the numbers of a subclass, which become its attributes

    Shapes: labels integer (..., N), predictions float (..., N, C), C at least
    2; result (..., N) before the reduction.  Half-precision predictions are
    taken to float32 first.  For logits (0, 0) the loss is log 2 = 0.6931.

    Raises
    ------
    ValueError
        Where the shapes of labels and predictions do not fit, as those of
        one-hot labels, there is one output column only, or labels are floats
        (when called as Keras calls a loss) or no class indices.  Compiled
        code cannot look at values: there the loss of such a sample is NaN.
    """

    def __init__(self, name=None, parameters=None, **options):
        words = re.sub("(?<=[a-z])(?=[A-Z])", "_", type(self).__name__)
        super().__init__(name=name or words.lower(), **options)
        self.parameters = [*(parameters or ())]
        for key, values in (parameters or {}).items():
            setattr(self, key, _checked(key, values))

    def __call__(self, y_true, y_pred, sample_weight=None):
        # Keras turns labels into floats next: only here are theirs known.
        dtype = getattr(y_true, "dtype", None) or np.asarray(y_true).dtype
        if keras.backend.is_float_dtype(dtype):
            raise ValueError(
                "labels: class indices must be integers, got floats; cast "
                'them, labels.astype("int32"), or of one-hot rows take '
                "labels.argmax(-1)"
            )
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true, y_pred):
        logits = ops.convert_to_tensor(y_pred)
        logits = ops.cast(
            logits, keras.backend.result_type(logits.dtype, "float32")
        )
        truth, sound = _one_hot(y_true, logits)
        return sound * self.per_sample(truth, logits)

    def per_sample(self, truth, logits):
        """Losses (..., N) of one-hot labels and logits (..., N, C)."""
        return -ops.sum(truth * ops.log_softmax(logits, axis=-1), axis=-1)

    def get_config(self):
        numbers = {key: getattr(self, key) for key in self.parameters}
        numbers = {k: np.asarray(v).tolist() for k, v in numbers.items()}
        return {**super().get_config(), **numbers}


class WeightedCrossEntropy(CrossEntropy):
    """Class-weighted cross-entropy, ``-w_y log p_y``.

    Source: acne paper, section 2.4.2 (scenario B), with the weights of its
    eq. (1), see `helpers.imbalance.balanced_weights`.  With those of
    `helpers.imbalance.effective_number_weights` it is the class-balanced
    cross-entropy of Cui et al. (2019), arXiv:1901.05555.  The same training
    loss as Keras' ``fit(class_weight=...)``: divided by the batch size.

    class_weights : float (C,) or (..., 1, C).  For logits (0, 0), label 1 and
    weights (0.5, 2) the loss is 2 log 2 = 1.3863.
    """

    def __init__(self, class_weights, **options):
        super().__init__(
            parameters={"class_weights": class_weights}, **options
        )

    def per_sample(self, truth, logits):
        weights = _of_true_class(self.class_weights, truth)
        return weights * super().per_sample(truth, logits)


class _Modulated(CrossEntropy):
    """Cross-entropy times a factor that depends on p alone, not on counts."""

    def per_sample(self, truth, logits):
        odds = _log_odds(truth, logits)
        return self.factor(odds) * ops.softplus(-odds)

    def focus(self, odds):
        """Focal loss's factor, (1 - p)^gamma."""
        gamma = ops.convert_to_tensor(self.gamma, odds.dtype)
        return ops.exp(-gamma * ops.softplus(odds))


class Focal(_Modulated):
    """Focal loss, ``-alpha_y (1 - p)^gamma log p`` with p = p_y.

    Source: Lin et al. (2017), arXiv:1708.02002; CEFL paper, eq. (6) and,
    with one alpha for all classes, (7).  One alpha multiplies the loss of
    every class and only rescales the loss; a weight a class rebalances, and
    at gamma = 0 is `WeightedCrossEntropy`.  With the weights of
    `helpers.imbalance.effective_number_weights` as alpha it is the
    class-balanced focal loss of Cui et al. (2019), arXiv:1901.05555, who
    write it with one sigmoid a class where this one has a softmax.

    gamma : float, or array (..., 1) against leading axes; alpha : float, or a
    weight a class, (C,) or (..., 1, C).  For p = 3/4, gamma = 2 and alpha = 1
    the loss is log(4/3) / 16 = 0.01798.
    """

    def __init__(self, gamma=2.0, alpha=1.0, **options):
        super().__init__(
            parameters={"gamma": gamma, "alpha": alpha}, **options
        )

    def per_sample(self, truth, logits):
        alpha = _of_true_class(self.alpha, truth)
        return alpha * super().per_sample(truth, logits)

    def factor(self, odds):
        return self.focus(odds)


class CEFL(_Modulated):
    """CEFL, ``-[(1 - p) + p (1 - p)^gamma] log p`` with p = p_y.

    Cross-entropy where a sample is hard, focal loss where it is easy, mixed
    with weights 1 - p and p.  Source: CEFL paper, eq. (9),
    doi:10.1109/ACCESS.2020.2991237.

    gamma : as in `Focal`; at 0 the loss is cross-entropy.  For p = 3/4 and
    gamma = 2 the loss is (19/64) log(4/3) = 0.08541.
    """

    def __init__(self, gamma=2.0, **options):
        super().__init__(parameters={"gamma": gamma}, **options)

    def factor(self, odds):
        return ops.sigmoid(-odds) + ops.sigmoid(odds) * self.focus(odds)


class CEFL2(CEFL):
    """CEFL2, ``-[q + (1 - q) (1 - p)^gamma] log p`` with p = p_y.

    ``q = (1 - p)^2 / ((1 - p)^2 + p^2)``: as `CEFL`, turning faster from
    cross-entropy to focal loss.  Source: CEFL paper, eq. (11),
    doi:10.1109/ACCESS.2020.2991237.  For p = 3/4 and gamma = 2 the loss is
    (5/32) log(4/3) = 0.04495.
    """

    def factor(self, odds):
        # q is the sigmoid of minus twice the log-odds.
        q = ops.sigmoid(-2 * odds)
        return q + ops.sigmoid(2 * odds) * self.focus(odds)


class LogitAdjusted(CrossEntropy):
    """Logit-adjusted cross-entropy: cross-entropy of z + tau log pi.

    ``pi_c = n_c / sum(n)`` is added while training; the network's own logits,
    which decide at test time, are without it.  Source: Menon et al. (2021),
    eq. (10), arXiv:2007.07314.  Its post-hoc twin, eq. (9), trains with plain
    cross-entropy and *subtracts* tau log pi afterwards: see
    `helpers.methods.prior_offsets`.

    counts : int (C,) or (..., 1, C), samples a class in training; tau : float,
    at 0 the loss is cross-entropy.  For logits (0, 0), label 1, counts (3, 1)
    and tau = 1 the loss is log 4 = 1.3863.
    """

    def __init__(self, counts, tau=1.0, **options):
        super().__init__(parameters={"counts": counts, "tau": tau}, **options)

    def per_sample(self, truth, logits):
        counts = ops.convert_to_tensor(self.counts, logits.dtype)
        prior = counts / ops.sum(counts, axis=-1, keepdims=True)
        return super().per_sample(truth, logits + self.tau * ops.log(prior))


class BalancedSoftmax(CrossEntropy):
    """Balanced softmax, ``-log(n_y exp z_y / sum_c n_c exp z_c)``.

    Source: Ren et al. (2020), theorem 1, arXiv:2007.10740.  The same loss as
    `LogitAdjusted` at tau = 1, derived independently.

    counts : int (C,) or (..., 1, C), samples a class in training.  For logits
    (0, 0), label 1 and counts (3, 1) the loss is log 4 = 1.3863.
    """

    def __init__(self, counts, **options):
        super().__init__(parameters={"counts": counts}, **options)

    def per_sample(self, truth, logits):
        counts = ops.convert_to_tensor(self.counts, logits.dtype)
        return super().per_sample(truth, logits + ops.log(counts))


class LDAM(CrossEntropy):
    """Label-distribution-aware margin: the true logit less scale x margin_y.

    ``margin_c`` is proportional to ``n_c ** -0.25`` and largest,
    ``max_margin``, for the rarest class.  Source: Cao et al. (2019), eqs (12)
    and (13), arXiv:1906.07413; max_margin and scale as in their code.

    A margin means something only where logits have a known size.  So LDAM
    needs a *cosine classifier*, which the trainers give it: normalised
    features times normalised weights, no bias, times ``scale``.  Logits here
    already carry that scale, and the margins are scaled with it.

    counts : int (C,) or (..., 1, C), samples a class in training; max_margin :
    float, in cosines; scale : float, the cosine classifier's own.  For logits
    (0, 0), label 1, counts (16, 1), max_margin = 0.5 and scale = 2 the loss is
    log(1 + e) = 1.3133; for label 0, whose margin is half as large,
    log(1 + sqrt(e)) = 0.9741.
    """

    def __init__(self, counts, max_margin=0.5, scale=COSINE_SCALE, **options):
        margin = {"max_margin": max_margin, "scale": scale}
        super().__init__(parameters={"counts": counts, **margin}, **options)

    def per_sample(self, truth, logits):
        shape = ops.convert_to_tensor(self.counts, logits.dtype) ** -0.25
        shape = shape / ops.max(shape, axis=-1, keepdims=True)
        margins = self.scale * self.max_margin * shape
        return super().per_sample(truth, logits - truth * margins)


class _BalancedInBatch(CrossEntropy):
    """Loss balance: cross-entropy with weights that the batch itself gives.

    Huang, Song and Lu, *CAAI Transactions on Intelligent Systems* 14(5):
    953-958, 2019, doi:10.11992/tis.201808004, adjust the weights of a batch's
    samples by the labels in the batch, so that the total loss of every class
    in it is balanced.  Their abstract gives no formula; the subclasses are two
    readings of it.  The batch is the *last* axis of the labels (..., N).
    Sample weights multiply the balanced losses and may undo the balance.
    """

    cap = 1e30  # A weight; float32 ends at 3e38.

    def per_sample(self, truth, logits):
        # log_softmax rounds a loss below 1e-7; the log-odds do not.
        losses = ops.softplus(-_log_odds(truth, logits))
        mass = truth * self.mass(losses)[..., None]
        totals = ops.sum(mass, axis=-2, keepdims=True)
        present = totals > 0
        number = ops.sum(ops.cast(present, totals.dtype), -1, keepdims=True)
        share = ops.sum(totals, -1, keepdims=True) / ops.maximum(number, 1)
        weights = ops.where(present, share / ops.where(present, totals, 1), 0)
        weights = ops.stop_gradient(ops.minimum(weights, self.cap))
        return _of_true_class(weights, truth) * losses


class LabelCountBalance(_BalancedInBatch):
    """Loss balance by counts: a class's samples share the weight N / C_b.

    A sample of class c weighs ``N / (C_b n_c)``: N samples in the batch, C_b
    classes present in it, n_c samples of class c.  The weights of a batch sum
    to N, those of every class present to N / C_b.  A batch of the whole
    training set gives the weights of eq. (1) of the acne paper, see
    `helpers.imbalance.balanced_weights`; a batch of one sample, or of one
    class, gives cross-entropy.

    Source: our reading by counts of Huang, Song and Lu (2019),
    doi:10.11992/tis.201808004.  For logits (0, 0) in each sample and labels
    0, 0, 0, 1 the losses are (2/3) log 2 = 0.4621, three times, and
    2 log 2 = 1.3863.
    """

    def mass(self, losses):
        return ops.ones_like(losses)


class LossTotalBalance(_BalancedInBatch):
    """Loss balance by totals: every class present contributes the same loss.

    A sample of class c weighs ``v_c = L / (C_b L_c)``: L_c the total
    cross-entropy of the batch's samples of class c, L that of all of them,
    C_b the number of classes with a loss above 0.  The weights are constants
    to the gradient.  Every such class then contributes L / C_b, and the sum
    stays L.  The gradient is ``(L / C_b)`` times that of ``sum_c log L_c``:
    the better a class is learnt, the larger its weight, without end.

    A class whose loss is exactly 0, and one that is absent, weighs 0 and is
    not counted in C_b; a batch of one class, and one without any loss, is
    left as it is.

    Source: our reading by totals of Huang, Song and Lu (2019),
    doi:10.11992/tis.201808004; the cap is ours.

    cap : float, positive, the largest weight (at 1e30 there is none).  A
    capped class contributes less than L / C_b, and the sum is then below L.
    For logits (0, 0) in each sample and labels 0, 0, 0, 1 the losses are those
    of `LabelCountBalance`, since the samples are equally hard; for logits
    (log 3, 0) and labels 0, 1 both are log(16/3) / 2 = 0.8370.
    """

    def __init__(self, cap=_BalancedInBatch.cap, **options):
        super().__init__(parameters={"cap": cap}, **options)

    def mass(self, losses):
        return losses


def check_labels(labels) -> None:
    """Refuse training labels that are no vector of class indices.

    For trainers, before anything is compiled: labels int (N,), 0 ... C - 1.
    Raises ValueError where they are no vector of integers, or one is negative.
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


def _checked(name, values):
    """A parameter as a float or a float32 array."""
    array = np.asarray(values, "float32")
    if not np.isfinite(array).all() or (array < 0).any():
        raise ValueError(
            f"{name} must be finite and not negative, got {values}"
        )
    if name in _POSITIVE and not array.all():
        raise ValueError(
            f"{name} must not be 0, got {values}; leave out a class without "
            "samples"
        )
    return array if array.ndim else float(array)


def _of_true_class(values, truth):
    """Of values (C,) of the classes that of each sample's class, (..., N)."""
    return ops.sum(truth * ops.convert_to_tensor(values, truth.dtype), axis=-1)


def _log_odds(truth, logits):
    """Log-odds of the true class, log p - log(1 - p), (..., N).

    Neither p nor 1 - p is lost in them where float32 rounds the other to 1.
    """
    true = truth > 0
    logit = ops.sum(ops.where(true, logits, 0.0), axis=-1)
    others = ops.logsumexp(ops.where(true, -np.inf, logits), axis=-1)
    return logit - others


def _one_hot(labels, logits):
    """One-hot labels (..., N, C), and 1, or NaN for a bad label, (..., N).

    An error, where the values are known; in compiled code they are not.
    """
    *wanted, n_classes = logits.shape
    if n_classes == 1:
        raise ValueError(
            "predictions: one output column; a column a class is needed, two "
            "columns for two classes"
        )
    if not ops.is_tensor(labels):
        labels = np.asarray(labels)
    if len(labels.shape) != len(wanted) or any(
        None not in pair and pair[0] != pair[1]  # None: of unknown length
        for pair in zip(labels.shape, wanted, strict=True)
    ):
        raise ValueError(
            "labels: a class index for each row of the predictions is needed, "
            f"got shape {tuple(labels.shape)} for {tuple(logits.shape)}; of "
            "one-hot rows take labels.argmax(-1)"
        )
    values = ops.cast(labels, logits.dtype)
    sound = (values >= 0) & (values < n_classes)
    sound &= values == ops.floor(values)
    one_hot = ops.one_hot(
        ops.cast(values, "int32"), n_classes, dtype=logits.dtype
    )
    try:
        all_sound = bool(ops.all(sound))
    except TypeError:
        return one_hot, ops.where(sound, 1.0, np.nan)
    if not all_sound:
        bad = np.asarray(labels)[~ops.convert_to_numpy(sound)][0]
        raise ValueError(
            f"labels: class indices 0 to {n_classes - 1} are needed for "
            f"{n_classes} output columns; got {bad}"
        )
    return one_hot, 1.0
