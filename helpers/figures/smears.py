"""Pictures of smears on the way to single cells, and charts of detection.

Each takes arrays or tables, never loads data. How figures are shown and
saved, and the style, is in `figures.style`. Titles describe and never name
a winner.
"""

import numpy as np
import pandas as pd
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from helpers.figures.style import INK, QUIET, new_chart, new_sheet

__all__ = [
    "causes",
    "circles_on",
    "curves",
    "in_a_row",
    "settings_sweep",
    "votes",
]

# Of seaborn's "colorblind" palette: found, wrongly found, missed; and a
# line each for the three scores.
HIT, FALSE, MISSED = "#029E73", "#D55E00", "#0173B2"
_SCORES = {
    "precision": ("Precision", "#DE8F05"),
    "recall": ("Recall", "#0173B2"),
    "f1": ("F1", INK),
}


def in_a_row(pictures: dict[str, np.ndarray], width: float = 9.6) -> Figure:
    """Pictures of one size side by side, each under its title.

    pictures: title to (H, W, 3) or (H, W) uint8; grey ones are shown from 0
    to 255, whatever they hold. width: in inches.
    """
    first = next(iter(pictures.values()))
    height = width / len(pictures) * first.shape[0] / first.shape[1]
    fig = new_sheet(width, height + 0.25)
    axes = fig.subplots(1, len(pictures), squeeze=False)[0]
    for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
        _show(ax, picture)
        ax.set_title(title, fontsize=9, loc="center", pad=3)
    return fig


def circles_on(
    photographs: dict[str, np.ndarray],
    circles: dict[str, dict[str, pd.DataFrame]],
    width: float = 9.6,
) -> Figure:
    """Circles of several kinds drawn on photographs, side by side.

    photographs: title to (H, W, 3) or (H, W) uint8. circles: the same titles
    to tables with columns x, y and radius, by the kind's name: "found",
    "false" (solid) or "missed" (dashed). The kinds are named below.
    """
    looks = {
        "found": (HIT, "-"),
        "false": (FALSE, "-"),
        "missed": (MISSED, "--"),
    }
    first = next(iter(photographs.values()))
    each = width / len(photographs)
    fig = new_sheet(width, each * first.shape[0] / first.shape[1] + 0.55)
    axes = fig.subplots(1, len(photographs), squeeze=False)[0]
    drawn = {}
    for ax, (title, picture) in zip(axes, photographs.items(), strict=True):
        _show(ax, picture)
        ax.set_title(title, fontsize=9, loc="center", pad=3)
        for kind, table in circles[title].items():
            colour, line = looks[kind]
            drawn[kind] = ax.plot([], [], color=colour, ls=line)[0]
            _draw_circles(ax, table, colour, line)
    fig.legend(
        drawn.values(), drawn, loc="outside lower center", ncols=len(drawn)
    )
    return fig


def votes(picture, accumulator, found, title: str = "") -> Figure:
    """A grey picture beside the votes for a centre at each of its pixels.

    picture: (H, W) uint8; accumulator: (H, W) numbers; found: (x, y) where
    the votes are most, marked on both.
    """
    fig = new_sheet(6.4, 3.4)
    fig.suptitle(title, fontsize=10)
    left, right = fig.subplots(1, 2)
    _show(left, picture)
    left.set_title("edges look for their centre", fontsize=9, loc="center")
    _show(right, None)
    right.imshow(accumulator, cmap="magma")
    right.set_title("votes", fontsize=9, loc="center")
    for ax, colour in ((left, FALSE), (right, "white")):
        ax.plot(*found, "+", color=colour, ms=14, mew=1.5)
    return fig


def curves(table: pd.DataFrame, x: str, xlabel: str, title: str) -> Figure:
    """Precision, recall and F1 against a setting of the pictures.

    table: columns x (the setting's name), seed, precision, recall, f1. A
    line is the mean of the seeds, a point one seed.
    """
    fig = new_chart(6.4, 3.4)
    ax = fig.subplots()
    for place, (score, (label, colour)) in enumerate(_SCORES.items()):
        mean = table.groupby(x)[score].mean()
        ax.plot(mean.index, mean, color=colour, label=label, zorder=2 + place)
        ax.plot(table[x], table[score], "o", color=colour, ms=3, alpha=0.5)
    ax.set(xlabel=xlabel, ylabel="Score", title=title)
    ax.set_ylim(top=min(1.0, ax.get_ylim()[1]) + 0.005)
    ax.legend(loc="lower left")
    return fig


def settings_sweep(
    table: pd.DataFrame, defaults: dict[str, float], title: str
) -> Figure:
    """Scores against each of several settings of the search, a panel each.

    table: columns setting, value, precision, recall and f1, one row a value;
    defaults: the value in use of each setting, drawn as a dotted line.
    """
    names = list(dict.fromkeys(table["setting"]))
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    fig = new_chart(2.35 * columns + 0.4, 2.3 * rows + 0.7)
    fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes = fig.subplots(rows, columns, sharey=True, squeeze=False)
    for ax in axes.ravel()[len(names) :]:
        ax.set_axis_off()
    for ax, name in zip(axes.ravel(), names, strict=False):
        own = table[table["setting"] == name].sort_values("value")
        ax.axvline(defaults[name], color=QUIET, ls=":", lw=1.2)
        for score, (label, colour) in _SCORES.items():
            ax.plot(
                own["value"],
                own[score],
                color=colour,
                marker="o",
                ms=3,
                label=label,
            )
        ax.set(xlabel=name, ylim=(-0.02, 1.05))
        ax.xaxis.set_major_locator(MaxNLocator(4))
    for ax in axes[:, 0]:
        ax.set_ylabel("Score")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=3)
    return fig


def causes(counted: pd.DataFrame, title: str) -> Figure:
    """Errors by cause, false circles beside missed cells.

    counted: what ``helpers.evaluation.errors`` returns.
    """
    fig = new_chart(6.4, 2.6)
    ax = fig.subplots()
    at = np.arange(len(counted))
    looks = {"false circles": FALSE, "missed cells": MISSED}
    for shift, (column, colour) in zip(
        (-0.2, 0.2), looks.items(), strict=True
    ):
        bars = ax.barh(
            at + shift, counted[column], 0.38, color=colour, label=column
        )
        ax.bar_label(bars, padding=3, fontsize=9)
    ax.set_yticks(at, counted.index)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.margins(x=0.1)
    ax.set(xlabel="Number", title=title)
    ax.legend(loc="best")
    return fig


def _show(ax, picture) -> None:
    """One picture without axes; grey ones from black to white."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.grid(False)
    if picture is not None:
        ax.imshow(picture, cmap="gray", vmin=0, vmax=255)


def _draw_circles(ax, table: pd.DataFrame, colour: str, line: str) -> None:
    across = 2 * table["radius"].to_numpy(float)
    ax.add_collection(
        EllipseCollection(
            across,
            across,
            np.zeros(len(table)),
            units="xy",
            offsets=table[["x", "y"]].to_numpy(float),
            offset_transform=ax.transData,
            facecolors="none",
            edgecolors=colour,
            linestyles=line,
            linewidths=1.1,
        )
    )
