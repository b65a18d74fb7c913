"""Points with their intervals: differences, scores, scores of classes."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

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
_MARKS = {
    "measured": {"marker": "o", "label": "measured, 95% interval"},
    "published": {"marker": "D", "label": "published", "mfc": "white"},
}


def interval_plot(
    table: pd.DataFrame,
    title: str = "Difference between the methods",
    xlabel: str = f"Difference (B {MINUS} A)",
) -> Figure:
    """A forest plot of differences, with a line at no difference.

    ``table`` has the columns label, delta, low and high, one row a line of
    the plot, from the top; low and high are NaN where there is no interval.
    The numbers stand on the right.
    """
    fig = new_chart(8, 1.1 + 0.36 * len(table))
    ax = fig.subplots()
    rows = np.arange(len(table))
    ax.axvline(0, color=QUIET, ls="--", lw=1.2)
    ax.hlines(rows, table["low"], table["high"], color="#5B7F95", lw=2)
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


def dot_plot(
    panels: dict[str, pd.DataFrame], title: str, xlabel: str = "Accuracy"
) -> Figure:
    """Scores with their intervals, a row a method and a panel a score.

    A panel's table has the columns method, mean, low and high, the last two
    NaN where there is no interval. The rows are those of the first panel, in
    its order. A dashed line marks cross-entropy, where it is among them.
    Unlike bars, dots need no axis that starts at zero.
    """
    methods = list(next(iter(panels.values()))["method"])
    fig, axes = new_panels(
        panels,
        title,
        size=(2.7 + 2.4 / len(panels), 1.3 + 0.25 * len(methods)),
        columns=len(panels),
        below=0,
        sharey=True,
    )
    labels, colours = zip(*map(method_look, methods), strict=True)
    rows = range(len(methods))
    for ax, table in zip(axes, panels.values(), strict=True):
        table = table.set_index("method").loc[methods]
        if BASELINE in table.index:
            level = table.loc[BASELINE, "mean"]
            ax.axvline(level, color=QUIET, ls="--", lw=1, zorder=0.9)
        ax.hlines(rows, table["low"], table["high"], color=colours, lw=1.8)
        ax.scatter(table["mean"], rows, color=colours, s=36, zorder=3)
        ax.set_xlabel(xlabel)
        rows_from_the_top(ax, labels)
        ax.locator_params(axis="x", nbins=4)
    return fig


def scores_by_class(
    table: pd.DataFrame,
    title: str = "F1 of each class, by method",
    xlabel: str = "F1",
) -> Figure:
    """Scores of each class by method, measured and published.

    ``table`` has the columns class, method, origin ("measured" or
    "published"), value, low and high; the last two, the interval, are NaN
    for published numbers. Classes keep the order of the table.
    """
    classes = list(dict.fromkeys(table["class"]))
    kinds = [
        (origin, method)
        for origin in ("measured", "published")
        for method in dict.fromkeys(table["method"])
        if origin in set(table["origin"])
    ]
    fig = new_chart(8, 1.4 + (0.2 + 0.11 * len(kinds)) * len(classes))
    ax = fig.subplots()
    lines, marks = {}, {}
    for rank, (origin, method) in enumerate(kinds):
        rows = table[(table.origin == origin) & (table.method == method)]
        rows = rows.set_index("class").reindex(classes)
        y = np.arange(len(classes)) + 0.18 * (rank - (len(kinds) - 1) / 2)
        label, colour = method_look(method)
        ax.hlines(y, rows["low"], rows["high"], color=colour, lw=1.3)
        ax.plot(rows["value"], y, color=colour, ls="none", **_MARKS[origin])
        lines[method] = Line2D([], [], color=colour, lw=4, label=label)
        marks[origin] = Line2D([], [], color=INK, ls="none", **_MARKS[origin])
    rows_from_the_top(ax, classes)
    for line in range(1, len(classes)):
        ax.axhline(line - 0.5, color="#E6E6E6", lw=1, zorder=0)
    ax.set(title=title, xlabel=xlabel)
    legend_below(fig, [*lines.values(), *marks.values()])
    return fig
