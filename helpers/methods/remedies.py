"""Losses that know the class counts and move the logits, not the weights.

Each adds a number a class to the logits while training and leaves the
network's own logits, which decide at test time, without it.
"""

import keras
from keras import ops

from helpers.methods.losses import PACKAGE, CrossEntropy, as_tensor, checked

COSINE_SCALE = 30.0
"""What a cosine classifier multiplies its cosines by (Cao et al.'s code)."""


class _FromCounts(CrossEntropy):
    """Cross-entropy that is made from the training part's class counts."""

    def __init__(self, counts, from_logits, name, **kwargs):
        super().__init__(from_logits, name, **kwargs)
        self.counts = checked("counts", counts)
        if not self.counts.all():
            raise ValueError(
                f"counts: a class without samples has no prior: {counts}"
            )

    def get_config(self):
        return {**super().get_config(), "counts": self.counts.tolist()}


@keras.saving.register_keras_serializable(package=PACKAGE)
class LogitAdjusted(_FromCounts):
    """Logit-adjusted cross-entropy: cross-entropy of z + tau log pi.

    ``pi_c = n_c / sum(n)``.  Source: Menon et al. (2021), eq. (10),
    arXiv:2007.07314.  Its post-hoc twin, eq. (9), trains with plain
    cross-entropy and *subtracts* tau log pi afterwards: see
    `helpers.methods.prior_offsets`.

    Parameters
    ----------
    counts : int array (C,) or (..., 1, C), samples a class in training
    tau : float, not negative; at 0 the loss is cross-entropy

    Shapes: as `CrossEntropy`.  For logits (0, 0), label 1, counts (3, 1) and
    tau = 1 the loss is log 4 = 1.3863.

    Raises
    ------
    ValueError
        Where a class has no sample, or tau is negative or not finite.
    """

    def __init__(
        self,
        counts,
        tau=1.0,
        from_logits=True,
        name="logit_adjusted",
        **kwargs,
    ):
        super().__init__(counts, from_logits, name, **kwargs)
        self.tau = float(checked("tau", tau))

    def per_sample(self, truth, logits):
        counts = as_tensor(self.counts, logits)
        prior = counts / ops.sum(counts, axis=-1, keepdims=True)
        return super().per_sample(truth, logits + self.tau * ops.log(prior))

    def get_config(self):
        return {**super().get_config(), "tau": self.tau}


@keras.saving.register_keras_serializable(package=PACKAGE)
class BalancedSoftmax(_FromCounts):
    """Balanced softmax, ``-log(n_y exp z_y / sum_c n_c exp z_c)``.

    Source: Ren et al. (2020), theorem 1, arXiv:2007.10740.  The same loss as
    `LogitAdjusted` at tau = 1, found by another road.

    Parameters
    ----------
    counts : int array (C,) or (..., 1, C), samples a class in training

    Shapes: as `CrossEntropy`.  For logits (0, 0), label 1 and counts (3, 1)
    the loss is log 4 = 1.3863.

    Raises
    ------
    ValueError
        Where a class has no sample.
    """

    def __init__(
        self, counts, from_logits=True, name="balanced_softmax", **kwargs
    ):
        super().__init__(counts, from_logits, name, **kwargs)

    def per_sample(self, truth, logits):
        counts = ops.log(as_tensor(self.counts, logits))
        return super().per_sample(truth, logits + counts)


@keras.saving.register_keras_serializable(package=PACKAGE)
class LDAM(_FromCounts):
    """Label-distribution-aware margin: the true logit less scale x margin_y.

    ``margin_c`` is proportional to ``n_c ** -0.25`` and largest,
    ``max_margin``, for the rarest class.  Source: Cao et al. (2019), eqs (12)
    and (13), arXiv:1906.07413; max_margin and scale as in their code.

    A margin means something only where logits have a known size.  So LDAM
    needs a *cosine classifier*: normalised features times normalised weights,
    no bias, times a scale of about 30, as the heads of `training.heads` do for
    it.  Logits here already carry that scale, so that softmax gives the
    network's probabilities; the margins are scaled with it.  On the logits of
    an ordinary Dense layer, margins of up to 15 are of no known meaning.

    Parameters
    ----------
    counts : int array (C,) or (..., 1, C), samples a class in training
    max_margin : float, in cosines
    scale : float, the cosine classifier's own

    Shapes: as `CrossEntropy`.  For logits (0, 0), label 1, counts (16, 1),
    max_margin = 0.5 and scale = 2 the loss is log(1 + e) = 1.3133; for
    label 0, whose margin is half as large, log(1 + sqrt(e)) = 0.9741.

    Raises
    ------
    ValueError
        Where a class has no sample, or max_margin or scale is negative or
        not finite.
    """

    def __init__(
        self,
        counts,
        max_margin=0.5,
        scale=COSINE_SCALE,
        from_logits=True,
        name="ldam",
        **kwargs,
    ):
        super().__init__(counts, from_logits, name, **kwargs)
        self.max_margin = float(checked("max_margin", max_margin))
        self.scale = float(checked("scale", scale))

    def per_sample(self, truth, logits):
        shape = as_tensor(self.counts, logits) ** -0.25
        shape = shape / ops.max(shape, axis=-1, keepdims=True)
        margins = self.scale * self.max_margin * shape
        return super().per_sample(truth, logits - truth * margins)

    def get_config(self):
        return {
            **super().get_config(),
            "max_margin": self.max_margin,
            "scale": self.scale,
        }
