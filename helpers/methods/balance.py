"""Losses that balance the classes inside each mini-batch.

Huang, Song and Lu, *CAAI Transactions on Intelligent Systems* 14(5):953-958,
2019, doi:10.11992/tis.201808004, adjust the weights of a batch's samples by
the labels in the batch, so that the total loss of every class in it is
balanced.  Their abstract gives no formula.  These are the two readings of it.

The batch is the *last* axis of the labels: labels (..., N) hold as many
batches of N samples as their leading axes say, each balanced by itself.
Sample weights multiply the balanced losses afterwards, as in every Keras loss,
and may undo the balance: class weights on top are best left out.
"""

import keras
from keras import ops

from helpers.methods.losses import PACKAGE, CrossEntropy, checked

_LARGEST = 1e30  # A weight; float32 ends at 3e38.


class _Balanced(CrossEntropy):
    """Cross-entropy with class weights that the batch itself gives."""

    def per_sample(self, truth, logits):
        losses = _cross_entropy(truth, logits)
        weights = ops.stop_gradient(self.class_weights(truth, losses))
        return ops.sum(truth * weights, axis=-1) * losses


@keras.saving.register_keras_serializable(package=PACKAGE)
class LabelCountBalance(_Balanced):
    """Loss balance by counts: a class's samples share the weight N / C_b.

    A sample of class c weighs ``N / (C_b n_c)``: N samples in the batch, C_b
    classes present in it, n_c samples of class c.  The weights of a batch sum
    to N, those of every class present to N / C_b.  A batch of the whole
    training part gives the weights of eq. (1) of the acne paper, see
    `helpers.imbalance.balanced_weights`; a batch of one sample, or of one
    class, gives cross-entropy.

    Source: reading (a) of Huang, Song and Lu (2019),
    doi:10.11992/tis.201808004.

    Shapes: as `helpers.methods.CrossEntropy`; the batch is the last axis of
    the labels.  For logits (0, 0) in each sample and labels 0, 0, 0, 1 the
    losses are (2/3) log 2 = 0.4621, three times, and 2 log 2 = 1.3863.

    Raises
    ------
    ValueError
        Where it is called with sample weights.
    """

    def __init__(self, from_logits=True, name="label_count_balance", **kwargs):
        super().__init__(from_logits, name, **kwargs)

    def class_weights(self, truth, losses):
        """Weights (..., 1, C) of the classes, 0 for an absent one."""
        counts = ops.sum(truth, axis=-2, keepdims=True)
        return _equal_shares(counts)


@keras.saving.register_keras_serializable(package=PACKAGE)
class LossTotalBalance(_Balanced):
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

    Source: reading (b) of Huang, Song and Lu (2019),
    doi:10.11992/tis.201808004; the cap is ours.

    Parameters
    ----------
    cap : float, positive, or None: the largest weight.  A capped class
        contributes less than L / C_b, and the sum is then below L.  None
        stands for 1e30, so that float32 holds the weights.

    Shapes: as `helpers.methods.CrossEntropy`; the batch is the last axis of
    the labels.  For logits (0, 0) in each sample and labels 0, 0, 0, 1 the
    losses are those of `LabelCountBalance`, since the samples are equally
    hard; for logits (log 3, 0) and labels 0, 1 both are log(16/3) / 2 =
    0.8370.

    Raises
    ------
    ValueError
        Where the cap is not positive and finite.
    """

    def __init__(
        self,
        cap=None,
        from_logits=True,
        name="loss_total_balance",
        **kwargs,
    ):
        super().__init__(from_logits, name, **kwargs)
        self.cap = cap if cap is None else float(checked("cap", cap))
        if self.cap == 0:
            raise ValueError("cap: 0 would leave no loss; give None for none")

    def class_weights(self, truth, losses):
        """Weights (..., 1, C) of the classes, 0 for one without a loss."""
        totals = ops.sum(truth * losses[..., None], axis=-2, keepdims=True)
        largest = _LARGEST if self.cap is None else self.cap
        return ops.minimum(_equal_shares(totals), largest)

    def get_config(self):
        return {**super().get_config(), "cap": self.cap}


def _equal_shares(totals):
    """Weights that make the totals (..., 1, C) above 0 equal, sum kept."""
    there = totals > 0
    number = ops.sum(ops.cast(there, totals.dtype), axis=-1, keepdims=True)
    whole = ops.sum(totals, axis=-1, keepdims=True)
    share = whole / ops.maximum(number, 1)
    return ops.where(there, share / ops.where(there, totals, 1), 0)


def _cross_entropy(truth, logits):
    """Cross-entropy (..., N), exact also where p is next to 1.

    Losses are compared with each other here.  log_softmax rounds one below
    1e-7 to 0 or to a multiple of that; the log-odds of the true class do not.
    """
    true = truth > 0
    own = ops.sum(ops.where(true, logits, 0.0), axis=-1)
    others = ops.logsumexp(ops.where(true, -float("inf"), logits), axis=-1)
    return ops.softplus(others - own)
