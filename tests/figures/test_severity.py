"""Charts of severity grading draw their numbers, whole and quiet."""

import numpy as np
import pandas as pd
import pytest
from drawn import assert_whole_and_quiet
from matplotlib.patches import Circle

from helpers.figures import severity as figures

GRADES = ("mild", "moderate", "severe", "very severe")
SIZES, SIDES, RATES = (0.5, 1.0, 2.0), (14, 28, 56), (1e-5, 1e-4, 1e-3, 1e-2)
GRID = pd.MultiIndex.from_product(
    [SIZES, SIDES], names=["lesion_size", "side"]
).to_frame(index=False)
GRID = GRID.assign(kappa=np.linspace(0.1, 0.9, 9), accuracy=0.7)
for name in ("kappa", "accuracy"):
    GRID[f"{name}_low"] = GRID[name] - 0.05
    GRID[f"{name}_high"] = GRID[name] + 0.1
KINDS = ["head alone, frozen base", "all of it, from trained weights"]
BY_RATE = pd.MultiIndex.from_product(
    [KINDS, RATES, range(3)], names=["kind", "rate", "seed"]
).to_frame(index=False)
BY_RATE = BY_RATE.assign(
    kappa=np.linspace(0.2, 0.9, 24),
    moved=np.where(BY_RATE["kind"] == KINDS[0], 0, 20 * BY_RATE["rate"]),
)
TABLE = np.array([[80, 5, 0, 0], [9, 30, 3, 1], [0, 5, 9, 1], [0, 0, 4, 4]])
TABLES = {"cross_entropy": TABLE, "weighted_cross_entropy": TABLE[::-1]}
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 255, (5, 28, 28, 3)).astype("uint8")
MAPS = {
    "attention": RNG.random((5, 7, 7)),
    "Grad-CAM": np.zeros((5, 7, 7)),
    "attention,\nweights\nshuffled": RNG.random((5, 14, 14)),
}
TITLES = ["very severe →\nvery severe"] * 5
SPOTS = pd.DataFrame({"x": [0.25, 0.5], "y": [0.5, 0.75], "radius": 0.05})


def by_side():
    scores = {"kappa": "Weighted kappa", "accuracy": "Accuracy"}
    return figures.by_side(GRID, scores, 0.05)


def by_rate():
    scores = {"kappa": "Weighted kappa", "moved": "Movement of the base"}
    return figures.by_rate(BY_RATE, scores, log_y=("moved",))


def grade_errors():
    return figures.grade_errors(TABLES, GRADES)


def map_sheet():
    return figures.map_sheet(IMAGES, MAPS, TITLES, [SPOTS] * 5)


PLOTS = {
    "by_side": by_side,
    "by_rate": by_rate,
    "grade_errors": grade_errors,
    "map_sheet": map_sheet,
    "map_sheet, nobody knows": lambda: figures.map_sheet(
        IMAGES[:2], {name: m[:2] for name, m in MAPS.items()}, TITLES[:2]
    ),
}


@pytest.mark.parametrize("name", PLOTS)
def test_plot_is_whole_and_quiet(name, monkeypatch):
    assert_whole_and_quiet(PLOTS[name], monkeypatch)


def test_every_plot_is_tested():
    assert {name.split(",")[0] for name in PLOTS} == set(figures.__all__)


def test_last_panel_is_over_the_diameter():
    *_, right = by_side().axes
    lines = [line for line in right.lines if len(line.get_xdata())]
    for size, line in zip(SIZES, lines, strict=True):
        own = GRID[GRID["lesion_size"] == size]
        np.testing.assert_allclose(line.get_xdata(), own["side"] * size * 0.05)
        np.testing.assert_allclose(line.get_ydata(), own["kappa"])


def test_intervals_go_from_low_to_high():
    left = by_side().axes[0]
    ends = np.concatenate(
        [[s[:, 1] for s in c.get_segments()] for c in left.collections]
    )
    np.testing.assert_allclose(ends, GRID[["kappa_low", "kappa_high"]])


def test_rates_join_the_means_of_seeds():
    left, right = by_rate().axes
    joined = [line for line in left.lines if line.get_linestyle() == "-"]
    for kind, line in zip(KINDS, joined, strict=True):
        means = BY_RATE[BY_RATE["kind"] == kind].groupby("rate")["kappa"]
        np.testing.assert_allclose(line.get_ydata(), means.mean())
    # What does not move has no place on a logarithmic axis.
    drawn = [line for line in right.lines if len(line.get_xdata()) > 1]
    assert min(y for line in drawn for y in line.get_ydata()) == 2e-4


def test_grade_errors_are_shares_of_the_true_grade():
    fig = grade_errors()
    heights = [[bar.get_height() for bar in ax.patches] for ax in fig.axes]
    for own in heights:
        assert np.sum(own) == pytest.approx(2)
    # moderate, cross-entropy: 9 one too low, 30 right, 3 and 1 too high
    np.testing.assert_allclose(
        heights[1][:7], np.array([0, 0, 9, 30, 3, 1, 0]) / 43
    )
    right = np.trace(TABLE) / TABLE.sum()
    assert heights[-1][3] == pytest.approx(right)


def test_rings_stand_where_the_lesions_are():
    axes = map_sheet().axes
    rings = [p for p in axes[0].patches if isinstance(p, Circle)]
    assert [ring.center for ring in rings] == [(7, 14), (14, 21)]
    assert rings[0].radius == pytest.approx(2.8)
    assert not [p for p in axes[5].patches if isinstance(p, Circle)]


def test_each_map_is_scaled_on_its_own():
    axes = map_sheet().axes
    overlay = axes[5].images[1].get_array()
    assert overlay.min() == 0 and overlay.max() == 1
    assert not axes[10].images[1].get_array().any()
