"""Charts of balanced losses draw their numbers, whole and quiet."""

import numpy as np
import pandas as pd
import pytest
from drawn import assert_whole_and_quiet
from matplotlib.colors import to_hex

from helpers.figures import balance as figures
from helpers.methods.registry import METHODS

COUNTS = np.array([2, 63, 3, 19, 132, 131, 26, 5])
NAMES = [f"C{i}" for i in range(1, 9)]
USED = [
    "cross_entropy",
    "over_sampling",
    "weighted_cross_entropy",
    "loss_balance_counts",
    "loss_balance_totals",
]
SIZES = np.array([1, 8, 32, 128, 381])
SHARES = np.random.default_rng(0).dirichlet(COUNTS, 20)
WEIGHTS = COUNTS.sum() / 8 / COUNTS * np.ones((5, 1))


def _scores(**columns):
    """Every combination, with five seeds each."""
    frame = pd.MultiIndex.from_product(
        [*columns.values(), range(5)], names=[*columns, "seed"]
    ).to_frame(index=False)
    return frame.assign(value=np.linspace(0.5, 0.9, len(frame)))


FIG2 = _scores(
    dataset=["caltech PART", "ILSVRC PART1", "ILSVRC PART2"],
    network=["block 3", "block 4", "block 5"],
    method=USED,
)
BY_SIZE = _scores(size=SIZES, method=USED[2:])
PLOTS = {
    "loss_shares": lambda: figures.loss_shares(
        {f"Loss balance, totals: {k}": SHARES for k in range(5)}, NAMES, COUNTS
    ),
    "class_curves": lambda: figures.class_curves(
        SIZES,
        {"Mean weight of a sample": WEIGHTS},
        NAMES,
        COUNTS,
        "Weights by batch size",
        "Batch size",
        "Weight",
        log_x=True,
        reference=WEIGHTS[0],
    ),
    "class_curves, two panels": lambda: figures.class_curves(
        np.arange(20),
        {"without a cap": SHARES, "with a cap of 10": SHARES},
        [*NAMES[:7], "basophilic stippling"],
        COUNTS,
        "Weights in training",
        "Epoch",
        "Weight",
    ),
    "means_and_spreads": lambda: figures.means_and_spreads(FIG2),
    "score_by_batch_size": lambda: figures.score_by_batch_size(BY_SIZE),
    "mean_probabilities": lambda: figures.mean_probabilities(
        dict(zip(USED, SHARES, strict=False)), COUNTS, NAMES
    ),
}


@pytest.mark.parametrize("name", PLOTS)
def test_plot_is_whole_and_quiet(name, monkeypatch):
    assert_whole_and_quiet(PLOTS[name], monkeypatch)


def test_every_plot_is_tested():
    assert {name.split(",")[0] for name in PLOTS} == set(figures.__all__)


def test_shares_are_stacked_from_the_smallest_class():
    fig = PLOTS["loss_shares"]()
    areas = fig.axes[0].collections
    smallest = areas[0].get_paths()[0].vertices[:, 1]
    assert smallest.max() == pytest.approx(SHARES[:, 0].max())
    top = areas[-1].get_paths()[0].vertices[:, 1]
    assert top.max() == pytest.approx(1)
    bottom_of_largest = 1 - SHARES[:, 4]
    assert top.min() == pytest.approx(bottom_of_largest.min())


def test_the_two_smallest_classes_have_their_colours():
    for name in ("class_curves", "class_curves, two panels"):
        lines = PLOTS[name]().axes[0].lines
        colours = [to_hex(line.get_color()).upper() for line in lines]
        assert "#C2185B" in colours and "#F39C12" in colours
    line = PLOTS["class_curves, two panels"]().axes[0].lines[0]
    np.testing.assert_array_equal(line.get_ydata(), SHARES[:, 0])
    assert to_hex(line.get_color()).upper() == "#C2185B"
    dotted = [
        line
        for line in PLOTS["class_curves"]().axes[0].lines
        if line.get_linestyle() == ":"
    ]
    assert sorted(line.get_ydata()[0] for line in dotted) == sorted(WEIGHTS[0])


def test_means_and_spreads_are_of_the_seeds():
    ax = PLOTS["means_and_spreads"]().axes[0]
    seeds = FIG2.query("dataset == 'caltech PART' and network == 'block 3'")
    drawn = [line.get_ydata() for line in ax.lines]
    for method in USED:
        own = seeds.loc[seeds["method"] == method, "value"].to_numpy()
        assert any(np.array_equal(own, y) for y in drawn)
        assert any(
            y == pytest.approx([own.mean()]) for y in drawn if len(y) == 1
        )
    bars = [bar.get_paths()[0].vertices[:, 1] for bar in ax.collections]
    lengths = [np.ptp(bar) for bar in bars]
    assert lengths == pytest.approx([2 * own.std(ddof=1)] * 15)


def test_scores_by_size_join_the_means():
    ax = PLOTS["score_by_batch_size"]().axes[0]
    joined = [line for line in ax.lines if line.get_linestyle() == "-"]
    for line, method in zip(joined, USED[2:], strict=True):
        own = BY_SIZE[BY_SIZE["method"] == method]
        means = own.groupby("size")["value"].mean()
        np.testing.assert_allclose(line.get_ydata(), means)
        colour = METHODS[method].colour
        assert to_hex(line.get_color()).upper() == colour.upper()


def test_mean_probabilities_start_with_the_largest_class():
    ax = PLOTS["mean_probabilities"]().axes[0]
    ticks = [label.get_text() for label in ax.get_xticklabels()]
    assert ticks[0] == "C5\n(132)" and ticks[-1] == "C1\n(2)"
    order = np.argsort(-COUNTS, kind="stable")
    shares = ax.lines[0].get_ydata()
    np.testing.assert_allclose(shares, COUNTS[order] / COUNTS.sum())
    np.testing.assert_allclose(ax.lines[2].get_ydata(), SHARES[0][order])
