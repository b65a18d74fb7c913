"""Charts of losses and grids draw their numbers, whole and quiet."""

import numpy as np
import pandas as pd
import pytest
from drawn import assert_whole_and_quiet
from matplotlib.colors import to_hex

from helpers.figures import losses as loss_figures
from helpers.methods.registry import METHODS

P = np.linspace(0.01, 0.99, 50)
FOCAL = {
    f"focal_a1_g{gamma:g}": -((1 - P) ** gamma) * np.log(P)
    for gamma in (0.5, 1, 2, 5)
}
PANELS = {
    "Loss": {"cross_entropy": -np.log(P), **FOCAL},
    "Ratio, log axis": {"easy / hard": P / (1 - P), "none": np.ones(50)},
}


def _grid():
    return pd.DataFrame(
        [[0.012, -0.003, 0.0, 0.02], [-0.04, 0.007, np.nan, 0.001]],
        index=pd.Index(["0.75", "1"], name="α"),
        columns=pd.Index(["0.5", "1", "2", "5"], name="γ"),
    )


def _with_intervals():
    grid = _grid()
    return grid, grid.map(lambda v: f"{v:+.3f}\n[{v - 0.01:+.3f}, -0.001]")


PLOTS = {
    "curves": lambda: loss_figures.curves(
        P, PANELS, "Losses", log_y=("Ratio, log axis",), split=0.5
    ),
    "four panels": lambda: loss_figures.curves(
        np.arange(1, 21),
        {f"Share {k}": {"head": np.arange(20)} for k in range(4)},
        xlabel="Epoch",
    ),
    "both axes logarithmic": lambda: loss_figures.curves(
        P, {"Loss": FOCAL}, log_x=True, log_y=("Loss",)
    ),
    "heat_map": lambda: loss_figures.heat_map(_grid(), title="Grid"),
    "heat_map with intervals": lambda: loss_figures.heat_map(
        *_with_intervals(), "Accuracy, focal − cross-entropy", "Difference"
    ),
}


@pytest.mark.parametrize("name", PLOTS)
def test_plot_is_whole_and_quiet(name, monkeypatch):
    assert_whole_and_quiet(PLOTS[name], monkeypatch)


def test_curves_draw_their_numbers_in_their_methods_colours():
    left, right = PLOTS["curves"]().axes
    for ax, own in zip((left, right), PANELS.values(), strict=True):
        *lines, split = ax.get_lines()
        assert list(split.get_xdata()) == [0.5, 0.5]
        assert split.get_linestyle() == ":"
        for line, (name, values) in zip(lines, own.items(), strict=True):
            np.testing.assert_array_equal(line.get_xdata(), P)
            np.testing.assert_array_equal(line.get_ydata(), values)
            if name in METHODS:
                assert line.get_label() == METHODS[name].label
                assert to_hex(line.get_color()) == METHODS[name].colour.lower()
            else:
                assert line.get_label() == name
    assert (left.get_yscale(), right.get_yscale()) == ("linear", "log")
    assert (left.get_xscale(), left.get_xlabel()) == (
        "linear",
        "Probability p of the true class",
    )


def test_curves_that_lie_close_differ_in_more_than_their_shade():
    left, right = PLOTS["curves"]().axes
    focal = left.get_lines()[1:5]
    assert len({line.get_linestyle() for line in focal}) > 2
    assert len({str(line._unscaled_dash_pattern) for line in focal}) == 4
    one, other = (to_hex(line.get_color()) for line in right.get_lines()[:2])
    assert one != other


def test_a_curve_keeps_its_look_in_every_panel_and_is_named_once():
    fig = loss_figures.curves(P, {"a": FOCAL, "b": FOCAL, "c": FOCAL})
    looks = [
        [(line.get_color(), line.get_linestyle()) for line in ax.get_lines()]
        for ax in fig.axes
    ]
    assert looks[0] == looks[1] == looks[2]
    (legend,) = fig.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == [METHODS[name].label for name in FOCAL]


def test_four_panels_make_a_square_and_epochs_are_whole():
    fig = PLOTS["four panels"]()
    assert fig.axes[0].get_subplotspec().get_geometry()[:2] == (2, 2)
    fig.canvas.draw()
    ticks = fig.axes[0].get_xticks()
    np.testing.assert_array_equal(ticks, ticks.round())


def test_both_axes_can_be_logarithmic():
    (ax,) = PLOTS["both axes logarithmic"]().axes
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_heat_map_writes_and_colours_every_number():
    ax = PLOTS["heat_map"]().axes[0]
    texts = [text.get_text() for text in ax.texts]
    assert texts == [
        "+0.012",
        "\N{MINUS SIGN}0.003",
        "+0.000",
        "+0.020",
        "\N{MINUS SIGN}0.040",
        "+0.007",
        "+0.001",
    ]
    places = [text.get_position() for text in ax.texts]
    assert places == [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1), (1, 1), (3, 1)]
    (image,) = ax.images
    np.testing.assert_array_equal(
        np.ma.filled(image.get_array(), np.nan), _grid().to_numpy()
    )
    assert image.get_clim() == (-0.04, 0.04)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("γ", "α")
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0.75", "1"]


def test_heat_map_takes_its_own_texts_and_limit():
    grid, texts = _with_intervals()
    ax = loss_figures.heat_map(grid, texts, limit=0.1).axes[0]
    assert ax.texts[0].get_text() == ("+0.012\n[+0.002, \N{MINUS SIGN}0.001]")
    assert ax.images[0].get_clim() == (-0.1, 0.1)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="log_y: no panel 'Los'"):
        loss_figures.curves(P, PANELS, log_y=("Los",))
    with pytest.raises(ValueError, match=r"'x' of 'Loss' has shape \(3,\)"):
        loss_figures.curves(P, {"Loss": {"x": np.ones(3)}})
    with pytest.raises(ValueError, match="texts: its rows and columns"):
        loss_figures.heat_map(_grid(), _grid().T.astype(str))
