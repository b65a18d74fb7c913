"""Pictures and charts of smears draw what they are given, whole and quiet."""

import numpy as np
import pandas as pd
import pytest
from drawn import assert_whole_and_quiet
from matplotlib.collections import EllipseCollection

from helpers.evaluation.detection import CAUSES
from helpers.figures import smears as figs

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (90, 120, 3)).astype(np.uint8)
GREY = PICTURE[..., 0]
CIRCLES = pd.DataFrame({"x": [10.0, 60], "y": [30.0, 80], "radius": [8.0, 21]})
KINDS = {"found": CIRCLES, "false": CIRCLES[:1], "missed": CIRCLES[:0]}
SCORES = pd.DataFrame(
    {
        "overlap": [0, 0, 0.4, 0.4],
        "seed": [0, 1, 0, 1],
        "precision": [0.99, 0.97, 0.95, 0.93],
        "recall": [0.98, 0.98, 0.8, 0.7],
        "f1": [0.985, 0.975, 0.87, 0.8],
    }
)
SWEEP = pd.concat(
    [SCORES.assign(setting=f"setting {k}", value=range(4)) for k in range(8)]
)
DEFAULTS = {f"setting {k}": 1.5 for k in range(8)}
COUNTED = pd.DataFrame(
    {"false circles": [3, 0, 12, 5], "missed cells": [0, 1, 30, 0]},
    index=pd.Index(CAUSES, name="cause"),
)
PLOTS = {
    "in_a_row": lambda: figs.in_a_row({"a": PICTURE, "grey": GREY}),
    "circles_on": lambda: figs.circles_on({"one": PICTURE}, {"one": KINDS}),
    "two of them": lambda: figs.circles_on(
        {"one": PICTURE, "two": GREY}, {"one": KINDS, "two": KINDS}
    ),
    "votes": lambda: figs.votes(GREY, GREY / 9, (20, 30), "Votes"),
    "curves": lambda: figs.curves(SCORES, "overlap", "Overlap", "Title"),
    "settings_sweep": lambda: figs.settings_sweep(SWEEP, DEFAULTS, "Title"),
    "one setting": lambda: figs.settings_sweep(SWEEP[:4], DEFAULTS, "Title"),
    "causes": lambda: figs.causes(COUNTED, "Errors"),
}


@pytest.mark.parametrize("name", PLOTS)
def test_plot_is_whole_and_quiet(name, monkeypatch):
    assert_whole_and_quiet(PLOTS[name], monkeypatch)


def test_pictures_are_shown_as_they_are():
    for ax, picture in zip(
        PLOTS["in_a_row"]().axes, (PICTURE, GREY), strict=True
    ):
        (image,) = ax.get_images()
        assert np.array_equal(image.get_array(), picture)
        assert image.get_clim() == (0, 255)


def test_circles_have_their_places_and_sizes():
    (ax,) = PLOTS["circles_on"]().axes
    drawn = [c for c in ax.collections if isinstance(c, EllipseCollection)]
    assert [len(c.get_offsets()) for c in drawn] == [2, 1, 0]
    assert drawn[0].get_offsets().tolist() == [[10, 30], [60, 80]]
    # Widths are diameters, in the picture's pixels.
    assert drawn[0].get_widths().tolist() == [16, 42]


def test_curves_are_means_and_points_are_seeds():
    (ax,) = PLOTS["curves"]().axes
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert lines["Recall"].get_ydata().tolist() == pytest.approx([0.98, 0.75])
    assert {"Precision", "Recall", "F1"} <= set(lines)
    points = [line for line in ax.get_lines() if line.get_marker() == "o"]
    assert [len(p.get_xdata()) for p in points] == [4] * 3


def test_sweep_marks_the_value_in_use():
    axes = PLOTS["settings_sweep"]().axes
    assert [ax.get_xlabel() for ax in axes] == list(DEFAULTS)
    for ax in axes:
        dotted = [x for x in ax.get_lines() if x.get_linestyle() == ":"]
        assert list(dotted[0].get_xdata()) == [1.5, 1.5]
        assert len(ax.get_lines()) == 4


def test_causes_are_the_numbers_given():
    (ax,) = PLOTS["causes"]().axes
    widths = [[bar.get_width() for bar in own] for own in ax.containers]
    assert widths == [[3, 0, 12, 5], [0, 1, 30, 0]]
    assert [t.get_text() for t in ax.get_yticklabels()] == list(CAUSES)
