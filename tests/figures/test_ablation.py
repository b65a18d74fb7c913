"""Charts of losses by imbalance draw their numbers, whole and quiet."""

import numpy as np
import pandas as pd
import pytest
from drawn import assert_whole_and_quiet
from matplotlib.colors import to_hex

from helpers.figures import ablation as ablation_figures
from helpers.methods.registry import METHODS, PAPER_LOSSES

LOSSES = list(PAPER_LOSSES)
FOUR = ["cross_entropy", "focal_a1_g2", "cefl_g2", "cefl2_g2"]
RATIOS = [1, 10, 20, 50, 100, 200, 500]


def _tails():
    exponents = np.linspace(-1, 0, 10)
    return {
        "CIFAR-10": {f"ρ = {r}": 5000 * r**exponents for r in (1.0, 10, 500)},
        "CIFAR-100": {
            f"ρ = {r}": 500 * r ** np.linspace(-1, 0, 100) for r in (1.0, 10)
        },
    }


def _scores(methods=LOSSES, width=0.02):
    mean = np.linspace(0.6, 0.9, len(methods))
    return pd.DataFrame(
        {
            "method": methods,
            "mean": mean,
            "low": mean - width,
            "high": mean + width,
        }
    )


def _accuracies():
    """Row k is k tenths of a point above cross-entropy, but for one cell."""
    table = pd.DataFrame(0.5, index=LOSSES, columns=RATIOS)
    table = table.add(0.001 * np.arange(len(LOSSES)), axis=0)
    table.loc["cefl_g1", 500] = 0.4
    return table


def _networks():
    table = pd.DataFrame(
        np.linspace(0.5, 0.7, 16).reshape(4, 4),
        index=["ResNet-18", "ResNet-34", "ResNet-50", "ResNet-101"],
        columns=FOUR,
    )
    table.loc["ResNet-34", "cefl2_g2"] = np.nan
    return table


def _history():
    """Training accuracy rises to 1; test accuracy is half of it."""
    rows = [
        {
            "method": method,
            "seed": seed,
            "epoch": epoch,
            "part": part,
            "value": share * epoch / 4 - 0.02 * seed,
        }
        for method in FOUR
        for seed in (0, 1)
        for epoch in (1, 2, 3, 4)
        for part, share in (("train", 1.0), ("test", 0.5))
    ]
    return pd.DataFrame(rows)


PLOTS = {
    "by_epoch": lambda: ablation_figures.by_epoch(
        {"ρ = 10": _history(), "ρ = 50": _history()}, "Accuracy by epoch"
    ),
    "tails": lambda: ablation_figures.tails(_tails()),
    "dots": lambda: ablation_figures.dots(
        {"ρ = 10": _scores(), "average": _scores(width=np.nan)}, "Accuracy"
    ),
    "gain_map": lambda: ablation_figures.gain_map(
        {"CIFAR-10": _accuracies(), "CIFAR-100": _accuracies()}, "Gains"
    ),
    "by_network": lambda: ablation_figures.by_network(
        {"Crops": _networks(), "Mushrooms": _networks(), "Third": _networks()},
        "Scores",
    ),
}


def test_every_plot_is_tested():
    assert set(ablation_figures.__all__) == set(PLOTS)


@pytest.mark.parametrize("name", PLOTS)
def test_plot_is_whole_and_quiet(name, monkeypatch):
    assert_whole_and_quiet(PLOTS[name], monkeypatch)


def test_tails_draw_counts_on_a_log_axis():
    fig = PLOTS["tails"]()
    left, right = fig.axes
    for ax, (name, parts) in zip((left, right), _tails().items(), strict=True):
        assert ax.get_title(loc="left") == name
        assert ax.get_yscale() == "log"
        lines = [line for line in ax.get_lines() if len(line.get_ydata())]
        for line, counts in zip(lines, parts.values(), strict=True):
            np.testing.assert_allclose(line.get_ydata(), counts)
    # A ratio has one colour in both panels, and one entry of the legend.
    assert left.get_lines()[1].get_color() == right.get_lines()[1].get_color()
    assert len(fig.legends[0].get_texts()) == 3


def test_dots_draw_scores_intervals_and_the_baseline():
    fig = PLOTS["dots"]()
    ax = fig.axes[0]
    dots = [x for x in ax.get_lines() if x.get_marker() == "o"]
    table = _scores()
    for row, (dot, expected) in enumerate(
        zip(dots, table.to_dict("records"), strict=True)
    ):
        assert dot.get_xdata()[0] == expected["mean"]
        assert dot.get_ydata()[0] == row
        colour = METHODS[expected["method"]].colour
        assert to_hex(dot.get_color()) == colour.lower()
    ends = [c.get_segments()[0][:, 0] for c in ax.collections]
    np.testing.assert_allclose(ends, table[["low", "high"]])
    (dashed,) = [x for x in ax.get_lines() if x.get_linestyle() == "--"]
    assert dashed.get_xdata()[0] == table["mean"][0]
    # The first row is on top.
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_dots_go_by_name_and_need_no_baseline():
    some = FOUR[1:]
    turned = _scores(some).iloc[::-1]
    fig = ablation_figures.dots({"a": _scores(some), "b": turned}, "Both")
    for ax in fig.axes:
        assert not [x for x in ax.get_lines() if x.get_linestyle() == "--"]
        drawn = [x.get_xdata()[0] for x in ax.get_lines()]
        np.testing.assert_allclose(drawn, _scores(some)["mean"])


def test_gains_are_points_from_cross_entropy():
    fig = PLOTS["gain_map"]()
    ax = fig.axes[0]
    texts = [t.get_text() for t in ax.texts]
    cells = np.array(texts).reshape(len(LOSSES), len(RATIOS))
    assert set(cells[0]) == {"+0.0"}
    assert set(cells[2]) == {"+0.2"}
    row = LOSSES.index("cefl_g1")
    assert cells[row, -1] == "\N{MINUS SIGN}10.0"
    image = ax.images[0]
    assert image.get_clim() == (-0.06, 0.06)
    assert image.get_array()[2, 0] == pytest.approx(0.002)
    assert [t.get_text() for t in ax.get_xticklabels()] == [
        str(r) for r in RATIOS
    ]


def test_a_tiny_loss_is_not_minus_nought():
    table = pd.DataFrame(
        {10: [0.5, 0.4999]}, index=["cross_entropy", "cefl_g1"]
    )
    fig = ablation_figures.gain_map({"": table}, "")
    assert [t.get_text() for t in fig.axes[0].texts] == ["+0.0", "+0.0"]


def test_networks_keep_their_order_and_gaps():
    fig = PLOTS["by_network"]()
    shown = [ax for ax in fig.axes if ax.axison]
    assert len(shown) == 3
    ax = shown[0]
    for line, method in zip(ax.get_lines(), FOUR, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), _networks()[method])
    markers = {line.get_marker() for line in ax.get_lines()}
    assert len(markers) == 4
    assert [t.get_text() for t in ax.get_xticklabels()] == list(
        _networks().index
    )


def test_epochs_are_means_of_the_seeds_test_dashed():
    fig = PLOTS["by_epoch"]()
    for ax in fig.axes:
        lines = ax.get_lines()
        assert len(lines) == 2 * len(FOUR)
        for line, share in zip(lines, [1.0, 0.5] * len(FOUR), strict=True):
            np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4])
            expected = share * np.array([1, 2, 3, 4]) / 4 - 0.01
            np.testing.assert_allclose(line.get_ydata(), expected)
            assert line.get_linestyle() == ("-" if share == 1 else "--")
        for line, method in zip(lines[::2], FOUR, strict=True):
            assert to_hex(line.get_color()) == METHODS[method].colour.lower()
    labels = [text.get_text() for text in fig.legends[0].get_texts()]
    assert labels[-2:] == ["training", "test"]
