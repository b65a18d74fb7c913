"""The registry of methods: complete, told apart, and as the papers say."""

import keras
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from helpers.methods.losses import CEFL, CEFL2, CrossEntropy, Focal
from helpers.methods.registry import (
    IDEAS,
    METHODS,
    PAPER_LOSSES,
    focal,
    logit_adjusted,
    logit_adjusted_post_hoc,
)

COUNTS = np.array([500, 40, 7, 90, 1])
# As a dichromat sees linear RGB: Machado et al. (2009), severity 1,
# doi:10.1109/TVCG.2009.113.
SIGHTS = {
    "normal": np.eye(3),
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
}
# One method of each kind, as a figure of the book would show them together.
TOGETHER = [
    name
    for name in METHODS
    if name not in PAPER_LOSSES
    or name in ("cross_entropy", "focal_a1_g2", "cefl_g2", "cefl2_g2")
]


def lab(colour, sight):
    """CIE L*a*b* (D65) of a hex colour."""
    rgb = np.array(to_rgb(colour))
    low, high = rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4
    linear = np.where(rgb <= 0.04045, low, high)
    to_xyz = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    seen = np.clip(np.array(sight) @ linear, 0, 1)
    t = to_xyz @ seen / np.array([0.95047, 1, 1.08883])
    x, y, z = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_rows_differ_and_say_where_they_are_from():
    assert list(METHODS)[:2] == ["cross_entropy", "weighted_cross_entropy"]
    for name, method in METHODS.items():
        assert name == method.name
        assert method.source
        assert name.replace(".", "").isidentifier()
        assert method.idea in IDEAS or name == "cross_entropy"
    for attribute in ("label", "colour"):
        values = [getattr(method, attribute) for method in METHODS.values()]
        assert len(set(values)) == len(values)


def test_ideas_are_what_methods_change():
    by_idea = {idea: set() for idea in ("", *IDEAS)}
    for name, method in METHODS.items():
        by_idea[method.idea].add(name)
        assert (method.idea == "re-sampling") == (method.sampler is not None)
        assert (method.idea == "post-hoc rules") == bool(method.decision)
    assert by_idea[""] == {"cross_entropy"}
    assert by_idea["focal family"] == {*PAPER_LOSSES} - {"cross_entropy"}
    margins = {"balanced_softmax", "ldam", "ldam_drw"}
    assert by_idea["margins and logit adjustment"] == margins
    assert logit_adjusted(1).idea == "margins and logit adjustment"
    assert METHODS["cross_entropy_drw"].idea == "re-weighting"


@pytest.mark.parametrize("sight", SIGHTS)
def test_colours_are_told_apart(sight):
    colours = [lab(METHODS[n].colour, SIGHTS[sight]) for n in TOGETHER]
    for i, one in enumerate(colours):
        assert one[0] < 84, f"{TOGETHER[i]} is too light on white"
        for j, other in enumerate(colours[:i]):
            distance = np.linalg.norm(one - other)
            assert distance > 15, f"{TOGETHER[i]}, {TOGETHER[j]}"


def test_the_papers_15_losses():
    """Tables 2 and 3 of the CEFL paper, row by row."""
    rows = [("cross_entropy", None, None)]
    for alpha in (0.75, 1):
        rows += [("focal", alpha, gamma) for gamma in (0.5, 1, 2, 5)]
    for family in ("cefl", "cefl2"):
        rows += [(family, None, gamma) for gamma in (1, 2, 5)]
    made = [METHODS[name] for name in PAPER_LOSSES]
    assert [
        (m.family, m.settings.get("alpha"), m.settings.get("gamma"))
        for m in made
    ] == rows
    for method in made:
        loss = method.loss(COUNTS)
        assert type(loss) in (CrossEntropy, Focal, CEFL, CEFL2)
        assert loss.name == method.family
        for name, number in method.settings.items():
            assert getattr(loss, name) == number


@pytest.mark.parametrize("name", METHODS)
def test_every_loss_takes_counts_of_one_and_of_several_trainings(name):
    method = METHODS[name]
    labels = np.arange(10) % 5
    logits = np.random.default_rng(0).normal(size=(2, 10, 5))
    several = np.stack([COUNTS, COUNTS[::-1]])[:, None]
    together = method.loss(several).call(np.stack([labels] * 2), logits)
    assert tuple(together.shape) == (2, 10)
    for own, counts, z in zip(together, several, logits, strict=True):
        alone = method.loss(counts[0]).call(labels, z)
        np.testing.assert_allclose(own, alone, rtol=1e-5)
    if method.late_weights:
        weights = method.late_weights(several[:, 0])
        np.testing.assert_allclose(weights.sum(axis=-1), 5)
        assert weights[0].argmax() == 4


def test_what_sees_the_counts():
    """Focal loss, CEFL and CEFL2 do not; every remedy of the field does."""
    labels, logits = np.arange(5), np.random.default_rng(0).normal(size=(5, 5))

    def moved(method):
        return not np.allclose(
            method.loss(COUNTS).call(labels, logits),
            method.loss(COUNTS[::-1].copy()).call(labels, logits),
        )

    blind = {name for name, method in METHODS.items() if not moved(method)}
    by_other_means = {"cross_entropy_drw", "over_sampling", "under_sampling"}
    by_other_means |= {"logit_adjusted_post_hoc_t1", "threshold_moving"}
    # These see the counts of each batch, not those of the training part.
    in_the_batch = {name for name in METHODS if name.startswith("loss_bal")}
    assert len(in_the_batch) == 3
    assert blind == {*PAPER_LOSSES, *by_other_means, *in_the_batch}


def test_late_weights_start_after_four_fifths():
    method = METHODS["ldam_drw"]
    late = {200: 160, 20: 16, 10: 8, 9: 8, 2: 1, 1: 0}
    assert {epochs: method.late_epoch(epochs) for epochs in late} == late
    assert METHODS["ldam"].late_epoch(20) == 0


def test_cosine_heads_are_for_ldam():
    cosine = {name for name, m in METHODS.items() if m.cosine}
    assert cosine == {"ldam", "ldam_drw"}
    loss = METHODS["ldam"].loss(COUNTS)
    for name in ("max_margin", "scale"):
        assert getattr(loss, name) == METHODS["ldam"].settings[name]


def test_post_hoc_undoes_what_the_loss_adds():
    logits, labels = np.zeros((4, 5)), np.zeros(4, int)
    offsets = logit_adjusted_post_hoc(1.5).decision(logits, labels, COUNTS)
    loss = logit_adjusted(1.5).loss(COUNTS)
    plain = keras.ops.convert_to_numpy(
        CrossEntropy().call(labels, logits.astype("float32"))
    )
    both = loss.call(labels, (logits + offsets).astype("float32"))
    np.testing.assert_allclose(both, plain, rtol=1e-5)


def test_other_numbers_make_other_methods():
    assert focal(3, 0.25).name == "focal_a0.25_g3"
    assert focal(2).name in PAPER_LOSSES
    capped = METHODS["loss_balance_totals_c10"]
    assert capped.family == "loss_balance_totals"
    assert capped.loss(COUNTS).cap == 10
    weights = METHODS["class_balanced_b0.9999"].loss(COUNTS).class_weights
    assert weights.sum() == pytest.approx(5)
    assert weights.argmax() == 4
