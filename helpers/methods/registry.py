"""The one registry of methods: what each is called, drawn as and made of.

A method says how the imbalance is met; all else in a comparison stays the
same.  It is a loss, and where it needs one a sampler, a schedule of weights,
a cosine classifier or a decision rule.  To add one, write its loss in
`methods.losses` or `methods.remedies` and a row here.  A notebook that wants
another number for a while adds it by hand::

    method = focal(gamma=3, alpha=1)
    METHODS[method.name] = method
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import keras
import numpy as np
from matplotlib.colors import to_hex, to_rgb

from helpers.imbalance.counts import balanced_weights, effective_number_weights
from helpers.methods.balance import LabelCountBalance, LossTotalBalance
from helpers.methods.losses import (
    CEFL,
    CEFL2,
    CrossEntropy,
    Focal,
    WeightedCrossEntropy,
)
from helpers.methods.post_hoc import prior_offsets, tuned_offsets
from helpers.methods.remedies import LDAM, BalancedSoftmax, LogitAdjusted

_CEFL_PAPER = "CEFL paper (doi:10.1109/ACCESS.2020.2991237)"
_CAO = "Cao et al. 2019 (arXiv:1906.07413)"
_CUI = "Cui et al. 2019 (arXiv:1901.05555)"
_HUANG = "Huang, Song & Lu 2019 (doi:10.11992/tis.201808004)"
_MENON = "Menon et al. 2021 (arXiv:2007.07314)"


@dataclass(frozen=True)
class Method:
    """One way to train on imbalanced classes.

    Attributes
    ----------
    name : key in `METHODS` and in every results file
    label : what figures and tables call it
    colour : hex colour, the same in every figure of the book
    source : paper and section or equation
    loss : training counts, int (..., C), to a Keras loss on logits
    family : what methods that differ in ``settings`` only have in common;
        the name in the papers' tables
    settings : its hyper-parameters
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
    loss: Callable[[np.ndarray], keras.losses.Loss]
    family: str = ""
    settings: Mapping[str, float] = field(default_factory=dict)
    sampler: str | None = None
    late_weights: Callable[[np.ndarray], np.ndarray] | None = None
    late_from: float = 1.0
    cosine: bool = False
    decision: Callable[..., np.ndarray] | None = None

    def __post_init__(self):
        object.__setattr__(self, "family", self.family or self.name)

    @property
    def only_loss(self) -> bool:
        """Whether nothing but its loss sets it apart from plain training."""
        return not (
            self.sampler or self.late_weights or self.cosine or self.decision
        )

    def late_epoch(self, epochs: int) -> int:
        """The first epoch with late weights, from 0; 0 where it has none."""
        if self.late_weights is None:
            return 0
        return min(math.ceil(round(self.late_from * epochs, 6)), epochs - 1)


def focal(gamma: float, alpha: float = 1.0) -> Method:
    """Focal loss (6), or with one alpha for all classes (7)."""
    shade = _shade("#DB2449", gamma)
    return Method(
        name=f"focal_a{alpha:g}_g{gamma:g}",
        label=f"Focal (α = {alpha:g}, γ = {gamma:g})",
        colour=shade if alpha == 1 else _mixed(shade, "#808080", 0.4),
        source=f"{_CEFL_PAPER}, eq. (6), (7)",
        loss=lambda counts: Focal(gamma, alpha),
        family="focal",
        settings={"alpha": alpha, "gamma": gamma},
    )


def cefl(gamma: float) -> Method:
    """CEFL, eq. (9)."""
    return Method(
        name=f"cefl_g{gamma:g}",
        label=f"CEFL (γ = {gamma:g})",
        colour=_shade("#009E73", gamma),
        source=f"{_CEFL_PAPER}, eq. (9)",
        loss=lambda counts: CEFL(gamma),
        family="cefl",
        settings={"gamma": gamma},
    )


def cefl2(gamma: float) -> Method:
    """CEFL2, eq. (11)."""
    return Method(
        name=f"cefl2_g{gamma:g}",
        label=f"CEFL2 (γ = {gamma:g})",
        colour=_shade("#E69F00", gamma),
        source=f"{_CEFL_PAPER}, eq. (11)",
        loss=lambda counts: CEFL2(gamma),
        family="cefl2",
        settings={"gamma": gamma},
    )


def class_balanced(beta: float) -> Method:
    """Cross-entropy weighted by the effective number of samples."""
    return Method(
        name=f"class_balanced_b{beta:g}",
        label=f"Class-balanced (β = {beta:g})",
        colour="#374900",
        source=_CUI,
        loss=lambda counts: WeightedCrossEntropy(
            effective_number_weights(counts, beta)
        ),
        family="class_balanced",
        settings={"beta": beta},
    )


def class_balanced_focal(beta: float, gamma: float) -> Method:
    """Focal loss weighted by the effective number of samples."""
    return Method(
        name=f"class_balanced_focal_b{beta:g}_g{gamma:g}",
        label=f"Class-balanced focal (β = {beta:g}, γ = {gamma:g})",
        colour="#802449",
        source=_CUI,
        loss=lambda counts: Focal(
            gamma, effective_number_weights(counts, beta)
        ),
        family="class_balanced_focal",
        settings={"beta": beta, "gamma": gamma},
    )


def logit_adjusted(tau: float) -> Method:
    """Logit adjustment in the loss; at tau = 1 the balanced softmax."""
    return Method(
        name=f"logit_adjusted_t{tau:g}",
        label=f"Logit-adjusted loss (τ = {tau:g})",
        colour=_mixed("#6D246D", "#FFFFFF", 0.25),
        source=f"{_MENON}, eq. (10)",
        loss=lambda counts: LogitAdjusted(counts, tau),
        family="logit_adjusted",
        settings={"tau": tau},
    )


def logit_adjusted_post_hoc(tau: float) -> Method:
    """Cross-entropy, and the log prior subtracted after training."""
    return Method(
        name=f"logit_adjusted_post_hoc_t{tau:g}",
        label=f"Post-hoc logit adjustment (τ = {tau:g})",
        colour="#006DED",
        source=f"{_MENON}, eq. (9)",
        loss=lambda counts: CrossEntropy(),
        decision=lambda logits, labels, counts: prior_offsets(counts, tau),
        family="logit_adjusted_post_hoc",
        settings={"tau": tau},
    )


def loss_balance_totals(cap: float | None = None) -> Method:
    """Loss balance by totals, no class weight above the cap."""
    uncapped = Method(
        name="loss_balance_totals",
        label="Loss balance, totals",
        colour="#8F4175",
        source=f"{_HUANG}, abstract, reading (b)",
        loss=lambda counts: LossTotalBalance(cap),
    )
    if cap is None:
        return uncapped
    return replace(
        uncapped,
        name=f"loss_balance_totals_c{cap:g}",
        label=f"Loss balance, totals (cap {cap:g})",
        colour="#00005B",
        source=f"{uncapped.source}; the cap is ours",
        settings={"cap": cap},
    )


def deferred(method: Method, name: str, label: str, colour: str) -> Method:
    """Deferred re-weighting (DRW): class weights for the last fifth only.

    The weights and the fifth, 40 of 200 epochs, are those of Cao et al.
    """
    return replace(
        method,
        name=name,
        label=label,
        colour=colour,
        source=f"{_CAO}, algorithm 1",
        family="",
        settings={**method.settings, "beta": 0.9999, "late_from": 0.8},
        late_weights=lambda counts: effective_number_weights(counts, 0.9999),
        late_from=0.8,
    )


def _mixed(colour, other, share):
    """A colour with a share, 0 to 1, of another one in it."""
    parts = zip(to_rgb(colour), to_rgb(other), strict=True)
    return to_hex([(1 - share) * a + share * b for a, b in parts])


def _shade(colour, gamma):
    """The colour at gamma = 2, lighter below, darker above."""
    steps = math.log2(2 / max(gamma, 0.25))
    other = "#FFFFFF" if steps > 0 else "#000000"
    return _mixed(colour, other, min(0.22 * abs(steps), 0.6))


_CROSS_ENTROPY = Method(
    name="cross_entropy",
    label="A: cross-entropy",
    colour="#0072B2",
    source="acne paper, scenario A (section 2.4.1)",
    loss=lambda counts: CrossEntropy(),
)
_LDAM = Method(
    name="ldam",
    label="LDAM",
    colour="#49DBC8",
    source=f"{_CAO}, eq. (12), (13)",
    loss=LDAM,
    cosine=True,
    settings={"max_margin": 0.5, "scale": 30},
)
_FOCAL = tuple(
    focal(gamma, alpha) for alpha in (0.75, 1) for gamma in (0.5, 1, 2, 5)
)
_CEFL = tuple(made(gamma) for made in (cefl, cefl2) for gamma in (1, 2, 5))

METHODS = {
    method.name: method
    for method in (
        _CROSS_ENTROPY,
        Method(
            name="weighted_cross_entropy",
            label="B: class-weighted",
            colour="#D55E00",
            source="acne paper, scenario B (section 2.4.2, eq. 1)",
            loss=lambda counts: WeightedCrossEntropy(balanced_weights(counts)),
        ),
        *_FOCAL,
        *_CEFL,
        class_balanced(0.9999),
        class_balanced_focal(0.9999, 1),
        Method(
            name="balanced_softmax",
            label="Balanced softmax",
            colour="#6D246D",
            source="Ren et al. 2020 (arXiv:2007.10740), theorem 1; the loss "
            f"of {_MENON}, eq. (10), at τ = 1",
            loss=BalancedSoftmax,
        ),
        _LDAM,
        deferred(_LDAM, "ldam_drw", "LDAM-DRW", "#4992A4"),
        deferred(_CROSS_ENTROPY, "cross_entropy_drw", "DRW", "#3737A4"),
        replace(
            _CROSS_ENTROPY,
            name="over_sampling",
            label="Over-sampling",
            colour="#5BA4FF",
            source="Buda et al. 2018 (doi:10.1016/j.neunet.2018.07.011)",
            family="",
            sampler="over",
        ),
        replace(
            _CROSS_ENTROPY,
            name="under_sampling",
            label="Under-sampling",
            colour="#A4C8FF",
            source="Buda et al. 2018 (doi:10.1016/j.neunet.2018.07.011)",
            family="",
            sampler="under",
        ),
        logit_adjusted_post_hoc(1),
        replace(
            _CROSS_ENTROPY,
            name="threshold_moving",
            label="Threshold moving",
            colour="#EDB66D",
            source="Zhou & Liu 2006 (doi:10.1109/TKDE.2006.17)",
            family="",
            decision=lambda logits, labels, counts: tuned_offsets(
                logits, labels
            ),
        ),
        Method(
            name="loss_balance_counts",
            label="Loss balance, counts",
            colour="#347541",
            source=f"{_HUANG}, abstract, reading (a)",
            loss=lambda counts: LabelCountBalance(),
        ),
        loss_balance_totals(),
        loss_balance_totals(10),
    )
}

PAPER_LOSSES = ("cross_entropy", *(m.name for m in (*_FOCAL, *_CEFL)))
"""The 15 losses of the CEFL paper's Tables 2 and 3, in their order."""
