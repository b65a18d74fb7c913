"""The one registry of methods: what each is called, drawn as and made of.

A method says how the imbalance is met; all else in a comparison stays the
same.  It is a loss, and where it needs one a sampler, a schedule of weights,
a cosine classifier or a decision rule.  To add one, write its loss in
`methods.losses` and a row here.  A notebook that wants another number for a
while adds it by hand::

    method = focal(gamma=3, alpha=1)
    METHODS[method.name] = method
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import keras
import numpy as np
from matplotlib.colors import to_hex, to_rgb

from helpers.imbalance.counts import balanced_weights, effective_number_weights
from helpers.methods.losses import (
    CEFL,
    CEFL2,
    LDAM,
    BalancedSoftmax,
    CrossEntropy,
    Focal,
    LabelCountBalance,
    LogitAdjusted,
    LossTotalBalance,
    WeightedCrossEntropy,
)
from helpers.methods.post_hoc import prior_offsets, tuned_offsets

IDEAS = (
    "re-weighting",
    "re-sampling",
    "margins and logit adjustment",
    "post-hoc rules",
    "focal family",
)
"""What methods have in common that are drawn together."""
_WEIGHTS, _SAMPLES, _MARGINS, _POST_HOC, _FOCAL = IDEAS

_BUDA = "Buda et al. 2018 (doi:10.1016/j.neunet.2018.07.011)"
_CAO = "Cao et al. 2019 (arXiv:1906.07413)"
_CEFL_PAPER = "CEFL paper (doi:10.1109/ACCESS.2020.2991237)"
_CUI = "Cui et al. 2019 (arXiv:1901.05555)"
_HUANG = "Huang, Song & Lu 2019 (doi:10.11992/tis.201808004)"
_MENON = "Menon et al. 2021 (arXiv:2007.07314)"


def _cross_entropy(counts):
    return CrossEntropy()


@dataclass(frozen=True)
class Method:
    """One way to train on imbalanced classes.

    Attributes
    ----------
    name : key in `METHODS` and in every results file
    label : what figures and tables call it
    colour : hex colour, the same in every figure
    source : paper and section or equation
    loss : training counts, int (..., C), to a Keras loss on logits
    settings : its hyper-parameters
    idea : one of `IDEAS`; "" for plain cross-entropy
    sampler : None, "over" or "under", see `helpers.imbalance.resample`
    late_weights : None, or training counts (..., C) to class weights (..., C)
        that multiply the loss once the share ``late_from`` of training is over
    late_from : 0 to 1
    cosine : whether the last layer is to be a cosine classifier
    decision : None, or (validation logits (N, C), their labels (N,), training
        counts (C,)) to what is added to the trained network's logits, (C,)
    """

    name: str
    label: str
    colour: str
    source: str
    loss: Callable[[np.ndarray], keras.losses.Loss] = _cross_entropy
    settings: Mapping[str, float] = field(default_factory=dict)
    idea: str = _WEIGHTS
    sampler: str | None = None
    late_weights: Callable[[np.ndarray], np.ndarray] | None = None
    late_from: float = 1.0
    cosine: bool = False
    decision: Callable[..., np.ndarray] | None = None

    @property
    def family(self) -> str:
        """The name without settings, as "focal" of "focal_a1_g2"."""
        return re.sub(r"_[a-z]\d.*", "", self.name)

    def late_epoch(self, epochs: int) -> int:
        """The first epoch with late weights, from 0; 0 where it has none."""
        if self.late_weights is None:
            return 0
        return min(math.ceil(round(self.late_from * epochs, 6)), epochs - 1)


def focal(gamma: float, alpha: float = 1.0) -> Method:
    """Focal loss (6), or with one alpha for all classes (7)."""
    shade = _shade("#DB2449", gamma)
    return Method(
        f"focal_a{alpha:g}_g{gamma:g}",
        f"Focal (α = {alpha:g}, γ = {gamma:g})",
        shade if alpha == 1 else _mixed(shade, "#808080", 0.4),
        f"{_CEFL_PAPER}, eq. (6), (7)",
        lambda counts: Focal(gamma, alpha),
        {"alpha": alpha, "gamma": gamma},
        _FOCAL,
    )


def _cefl(loss, colour, equation, gamma):
    return Method(
        f"{loss.__name__.lower()}_g{gamma:g}",
        f"{loss.__name__} (γ = {gamma:g})",
        _shade(colour, gamma),
        f"{_CEFL_PAPER}, eq. ({equation})",
        lambda counts: loss(gamma),
        {"gamma": gamma},
        _FOCAL,
    )


def logit_adjusted(tau: float) -> Method:
    """Logit adjustment in the loss; at tau = 1 the balanced softmax."""
    return Method(
        f"logit_adjusted_t{tau:g}",
        f"Logit-adjusted loss (τ = {tau:g})",
        _mixed("#6D246D", "#FFFFFF", 0.25),
        f"{_MENON}, eq. (10)",
        lambda counts: LogitAdjusted(counts, tau),
        {"tau": tau},
        _MARGINS,
    )


def logit_adjusted_post_hoc(tau: float) -> Method:
    """Cross-entropy, and the log prior subtracted after training."""
    return Method(
        f"logit_adjusted_post_hoc_t{tau:g}",
        f"Post-hoc logit adjustment (τ = {tau:g})",
        "#006DED",
        f"{_MENON}, eq. (9)",
        settings={"tau": tau},
        idea=_POST_HOC,
        decision=lambda logits, labels, counts: prior_offsets(counts, tau),
    )


def _deferred(method, name, label, colour):
    """Deferred re-weighting (DRW): class weights for the last fifth only.

    The weights and the fifth, 40 of 200 epochs, are those of Cao et al.
    """
    return replace(
        method,
        name=name,
        label=label,
        colour=colour,
        source=f"{_CAO}, algorithm 1",
        settings={**method.settings, "beta": 0.9999, "late_from": 0.8},
        idea=method.idea or _WEIGHTS,
        late_weights=_effective_weights,
        late_from=0.8,
    )


def _effective_weights(counts):
    return effective_number_weights(counts, 0.9999)


def _mixed(colour, other, share):
    """A colour with a share, 0 to 1, of another one in it."""
    channels = zip(to_rgb(colour), to_rgb(other), strict=True)
    return to_hex([(1 - share) * a + share * b for a, b in channels])


def _shade(colour, gamma):
    """The colour at gamma = 2, lighter below, darker above."""
    steps = math.log2(2 / max(gamma, 0.25))
    other = "#FFFFFF" if steps > 0 else "#000000"
    return _mixed(colour, other, min(0.22 * abs(steps), 0.6))


_PLAIN = Method(
    "cross_entropy",
    "A: cross-entropy",
    "#0072B2",
    "acne paper, scenario A (section 2.4.1)",
    idea="",
)
_LDAM = Method(
    "ldam",
    "LDAM",
    "#49DBC8",
    f"{_CAO}, eq. (12), (13)",
    LDAM,
    {"max_margin": 0.5, "scale": 30},
    _MARGINS,
    cosine=True,
)
_OF_CEFL_PAPER = (
    *(focal(gamma, alpha) for alpha in (0.75, 1) for gamma in (0.5, 1, 2, 5)),
    *(_cefl(CEFL, "#009E73", 9, gamma) for gamma in (1, 2, 5)),
    *(_cefl(CEFL2, "#E69F00", 11, gamma) for gamma in (1, 2, 5)),
)
_ROWS = (
    _PLAIN,
    Method(
        "weighted_cross_entropy",
        "B: class-weighted",
        "#D55E00",
        "acne paper, scenario B (section 2.4.2, eq. 1)",
        lambda counts: WeightedCrossEntropy(balanced_weights(counts)),
    ),
    *_OF_CEFL_PAPER,
    Method(
        "class_balanced_b0.9999",
        "Class-balanced (β = 0.9999)",
        "#374900",
        _CUI,
        lambda counts: WeightedCrossEntropy(_effective_weights(counts)),
        {"beta": 0.9999},
    ),
    Method(
        "class_balanced_focal_b0.9999_g1",
        "Class-balanced focal (β = 0.9999, γ = 1)",
        "#802449",
        _CUI,
        lambda counts: Focal(1, _effective_weights(counts)),
        {"beta": 0.9999, "gamma": 1},
    ),
    Method(
        "balanced_softmax",
        "Balanced softmax",
        "#6D246D",
        "Ren et al. 2020 (arXiv:2007.10740), theorem 1; the loss "
        f"of {_MENON}, eq. (10), at τ = 1",
        BalancedSoftmax,
        idea=_MARGINS,
    ),
    _LDAM,
    _deferred(_LDAM, "ldam_drw", "LDAM-DRW", "#4992A4"),
    _deferred(_PLAIN, "cross_entropy_drw", "DRW", "#3737A4"),
    Method(
        "over_sampling",
        "Oversampling",
        "#5BA4FF",
        _BUDA,
        idea=_SAMPLES,
        sampler="over",
    ),
    Method(
        "under_sampling",
        "Undersampling",
        "#A4C8FF",
        _BUDA,
        idea=_SAMPLES,
        sampler="under",
    ),
    logit_adjusted_post_hoc(1),
    Method(
        "threshold_moving",
        "Threshold moving",
        "#EDB66D",
        "Zhou & Liu 2006 (doi:10.1109/TKDE.2006.17)",
        idea=_POST_HOC,
        decision=lambda logits, labels, counts: tuned_offsets(logits, labels),
    ),
    Method(
        "loss_balance_counts",
        "Loss balance, counts",
        "#347541",
        f"{_HUANG}, abstract, read as counts",
        lambda counts: LabelCountBalance(),
    ),
    Method(
        "loss_balance_totals",
        "Loss balance, totals",
        "#8F4175",
        f"{_HUANG}, abstract, read as totals",
        lambda counts: LossTotalBalance(),
    ),
    Method(
        "loss_balance_totals_c10",
        "Loss balance, totals (cap 10)",
        "#00005B",
        f"{_HUANG}, abstract, read as totals; the cap is ours",
        lambda counts: LossTotalBalance(10),
        {"cap": 10},
    ),
)

METHODS = {method.name: method for method in _ROWS}

PAPER_LOSSES = ("cross_entropy", *(method.name for method in _OF_CEFL_PAPER))
"""The 15 losses of the CEFL paper's Tables 2 and 3, in their order."""
