"""Tables of few rows: bars, points with their intervals, heat maps."""

from textwrap import fill

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from helpers.figures.style import (
    INK,
    MINUS,
    QUIET,
    legend_below,
    method_look,
    new_chart,
    new_panels,
    rows_from_the_top,
)

BASELINE = "cross_entropy"
_BLUE = "#5B7F95"
_WIDEST = 11  # inches of the confusion matrices in a row


def class_counts(counts, names, title: str = "Images per class") -> Figure:
    """Horizontal bars of the images (C,) of each class, with their share."""
    fig = new_chart(7, 1.0 + 0.36 * len(names))
    ax = fig.subplots()
    bars = ax.barh(range(len(names)), counts, color=_BLUE, height=0.7)
    texts = [f"{n:,} ({n / np.sum(counts):.1%})" for n in counts]
    for text in ax.bar_label(bars, texts, padding=4, fontsize=9):
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
    rows_from_the_top(ax, names)
    ax.set(title=title, xlabel="Images", xlim=(0, np.max(counts) * 1.2))
    ax.locator_params(axis="x", integer=True)
    return fig


def interval_plot(table, title: str, xlabel: str) -> Figure:
    """A forest plot of differences, with a line at no difference.

    ``table`` has the columns label, delta, low and high, one row a line of
    the plot, from the top; low and high are NaN where there is no interval.
    The numbers stand on the right.
    """
    fig = new_chart(8, 1.1 + 0.36 * len(table))
    ax = fig.subplots()
    rows = np.arange(len(table))
    ax.axvline(0, color=QUIET, ls="--", lw=1.2)
    ax.hlines(rows, table["low"], table["high"], color=_BLUE, lw=2)
    ax.plot(table["delta"], rows, "o", color=INK, ms=6)
    rows_from_the_top(ax, table["label"])
    ax.set(title=title, xlabel=xlabel)
    texts = [f"{delta:+.3f}" for delta in table["delta"]]
    for k, ends in enumerate(table[["low", "high"]].to_numpy(float)):
        if np.isfinite(ends).all():
            texts[k] += " [{:+.3f}, {:+.3f}]".format(*ends)
    numbers = ax.secondary_yaxis("right")
    numbers.set_yticks(rows, [text.replace("-", MINUS) for text in texts])
    numbers.tick_params(length=0)
    numbers.spines[:].set_visible(False)
    return fig


_SIDES = {"published": ("D", 0), "reference": ("o", -0.17)}
_SIDES |= {"own run": ("s", 0.17)}
_GREEN, _ORANGE, _DARK_BLUE = "#029E73", "#D55E00", "#0173B2"
_STATUS = {"within": _GREEN, "outside": _ORANGE}
_STATUS |= {"not comparable": _DARK_BLUE, "not measured": QUIET}
_STATUS |= {"supported": _GREEN, "contradicted": _ORANGE, "open": _DARK_BLUE}


def beside_plot(table, title: str, xlabel: str) -> Figure:
    """Published numbers beside measured intervals, a row a label.

    ``table`` has the columns label, side ("published", "reference" or "own
    run"), delta, low and high (NaN of a published number) and status, which
    gives a measured one its colour. A label may have several numbers of one
    side. Colours are told apart with any colour vision; a line marks zero.
    """
    labels = list(dict.fromkeys(table["label"]))
    fig = new_chart(8, 1.5 + 0.36 * len(labels))
    ax = fig.subplots()
    ax.axvline(0, color=QUIET, ls="--", lw=1.2)
    handles = []
    for side, (marker, apart) in _SIDES.items():
        own = table[table["side"] == side]
        if own.empty:
            continue
        rows = own["label"].map(labels.index) + apart
        colours = INK if side == "published" else own["status"].map(_STATUS)
        ax.hlines(rows, own["low"], own["high"], color=colours, lw=2)
        look = {"marker": marker, "color": colours}
        ax.scatter(own["delta"], rows, s=34, zorder=3, **look)
        look |= {"color": INK, "ls": "", "label": side}
        handles.append(Line2D([], [], **look))
    measured = table.loc[table["side"] != "published", "status"]
    for status in dict.fromkeys(measured):
        look = {"color": _STATUS[status], "lw": 4}
        handles.append(Line2D([], [], label=status, **look))
    rows_from_the_top(ax, labels)
    ax.set(title=title, xlabel=xlabel)
    legend_below(fig, handles)
    return fig


def dot_plot(
    panels, title: str, xlabel: str = "Accuracy", *, groups=None
) -> Figure:
    """Scores with their intervals, a row a method and a panel a score.

    ``panels`` maps what stands above one to a table of method, mean, low and
    high, the last two NaN where there is no interval; a row that is False in
    a column ``clear`` is an empty circle. The rows are those of the first
    panel, in its order; a dashed line marks cross-entropy. ``groups`` names
    each row's group, or is "" for a row of none: lines part the groups. Rows
    in groups are differences: the axis ends before those that are far away,
    which would squeeze the others, and an arrow stands there.
    """
    methods = list(next(iter(panels.values()))["method"])
    size = 2.7 + 2.4 / len(panels), 1.3 + 0.25 * len(methods)
    look = {"size": size, "columns": len(panels), "below": 0}
    fig, axes = new_panels(panels, title, sharey=True, **look)
    labels, colours = zip(*map(method_look, methods), strict=True)
    rows = range(len(methods))
    for ax, table in zip(axes, panels.values(), strict=True):
        table = table.set_index("method").loc[methods]
        if BASELINE in table.index:
            level = table.loc[BASELINE, "mean"]
            ax.axvline(level, color=QUIET, ls="--", lw=1, zorder=0.9)
        ax.hlines(rows, table["low"], table["high"], color=colours, lw=1.8)
        dots = ax.scatter(table["mean"], rows, color=colours, s=36, zorder=3)
        if "clear" in table:
            dots.set_facecolor(np.where(table["clear"], colours, "white"))
        if groups is not None:
            _end_before_far_rows(ax, table[["mean", "low", "high"]])
        ax.set_xlabel(xlabel)
        rows_from_the_top(ax, labels)
        ax.locator_params(axis="x", nbins=4)
    names = list(groups or ())
    for name in dict.fromkeys(names):
        first = names.index(name)
        middle = first + (names.count(name) - 1) / 2
        for ax in axes if first else ():
            ax.axhline(first - 0.5, color=QUIET, lw=0.8)
        look = {"xycoords": ("axes fraction", "data"), "fontsize": 9}
        axes[-1].annotate(name, (1.03, middle), va="center", **look)
    return fig


def _end_before_far_rows(ax, table) -> None:
    """Among 20 rows or more, end the axis before those far from zero."""
    reach = table.abs().max(axis=1)
    most = 1.6 * reach.quantile(0.9)
    if len(table) >= 20 and (reach > most).any():
        ax.set_xlim(-most, most)
        for row, value in enumerate(table["mean"]):
            if abs(value) > most:
                arrow = "<" if value < 0 else ">"
                ax.plot(0.97 * np.copysign(most, value), row, arrow, color=INK)


def confusion_matrices(confusions, names, title: str) -> Figure:
    """Confusion matrices side by side, true class on the rows.

    ``confusions`` maps a label to a (C, C) table of counts, or of means of
    counts over seeds. The colour is the share of the true class.
    """
    tables = {m: pd.DataFrame(t, names, names) for m, t in confusions.items()}
    side, long = max(0.62 * len(names), 1.6), max(map(len, names))
    columns = min(len(tables), max(1, int(_WIDEST / (side + 0.3))))
    rows = -(-len(tables) // columns)
    columns = -(-len(tables) // rows)
    # The labels of a panel, in lines as wide as it.
    above = [fill(m, int(11 * side), break_on_hyphens=False) for m in tables]
    lines = 1 + max(text.count("\n") for text in above)
    width = columns * (side + 0.3) + 1.6 + 0.07 * long
    height = rows * (side + 0.1 + 0.2 * lines) + 1.25 + 0.035 * long
    fig = new_chart(width, height, layout="compressed")
    fig.suptitle(fill(title, int(12 * width)), x=0.01, ha="left", fontsize=11)
    axes = fig.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    look = {"square": True, "cmap": "Blues", "vmin": 0, "vmax": 1, "fmt": ""}
    look |= {"annot_kws": {"fontsize": 9}, "cbar": False}
    for ax, text, table in zip(
        axes.flat, above, tables.values(), strict=False
    ):
        shares = table.div(table.sum(axis=1), axis=0).fillna(0)
        digits = 0 if np.all(table == table.round()) else 1
        written = table.map(f"{{:.{digits}f}}".format)
        sns.heatmap(shares, annot=written, ax=ax, **look)
        ax.set_title(text, loc="center", fontsize=10)
        ax.set(xlabel="Predicted class", ylabel="True class")
        ax.tick_params(rotation=0)
        ax.set_xticklabels(names, rotation=45, ha="right")
        ax.label_outer()
    for ax in axes.flat[len(tables) :]:
        ax.set_axis_off()
    look = {"pad": 0.02, "label": "Share of the true class"}
    bar = fig.colorbar(axes[0, 0].collections[0], ax=axes, **look)
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    return fig
