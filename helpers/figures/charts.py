"""Every chart of the book. Each takes arrays or tables, never loads data.

How figures are shown and saved, and the style, is in `figures.style`;
sheets of pictures are in `figures.images`. Both are offered here too, so
that a notebook imports one module. Titles describe and never name a winner.
"""

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from helpers.figures.images import picture_grid, sample_sheet
from helpers.figures.style import (
    INK,
    QUIET,
    method_look,
    new_chart,
    save,
    style,
)

__all__ = [
    "class_counts",
    "confusion_pair",
    "factorial",
    "gradient_share",
    "histories",
    "interval_plot",
    "per_class_change",
    "picture_grid",
    "sample_sheet",
    "save",
    "style",
    "weights_bar",
]

_BAR = "#5B7F95"
_NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "f1": "F1",
    "loss": "Loss",
    "macro_f1": "Macro-F1",
    "precision": "Precision",
    "recall": "Recall",
}


def class_counts(counts, names, title: str = "Images per class") -> Figure:
    """Bars of the number of images (C,) of each class, with their share."""
    counts = np.asarray(counts)
    texts = [f"{n:,} ({n / counts.sum():.1%})" for n in counts]
    fig, ax = _bars(counts, names, texts)
    ax.set(title=title, xlabel="Images")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    return fig


def weights_bar(
    weights, names, title: str = "Class weights, eq. (1)"
) -> Figure:
    """Bars of the weight (C,) of each class, with a line at weight 1."""
    weights = np.asarray(weights, dtype=float)
    fig, ax = _bars(weights, names, [f"{w:.3f}" for w in weights])
    # Below the bars' numbers, which may stand on it.
    ax.axvline(1, color=INK, linestyle="--", linewidth=1.2, zorder=0.9)
    ax.set(title=title, xlabel="Weight in the loss (dashed: no weight)")
    return fig


def gradient_share(
    shares: dict[str, np.ndarray],
    names,
    title: str = "Each class's share of the batch gradient",
) -> Figure:
    """Stacked bars of the classes' shares, one bar for each label.

    ``shares`` maps a label, such as "no weights", to (C,) values that are
    not negative; each bar is scaled to 100 %.
    """
    fig = new_chart(8, 1.3 + 0.55 * len(shares))
    ax = fig.subplots()
    colours = sns.color_palette("viridis", len(names))
    for row, values in enumerate(shares.values()):
        parts = np.asarray(values, dtype=float) / np.sum(values)
        starts = np.cumsum(parts) - parts
        for left, part, colour in zip(starts, parts, colours, strict=True):
            ax.barh(row, part, left=left, color=colour, edgecolor="white")
            if part > 0.04:
                ax.text(
                    left + part / 2,
                    row,
                    f"{part:.0%}",
                    color=_readable_on(colour),
                    ha="center",
                    va="center",
                    fontsize=9,
                )
    ax.set(title=title, xlabel="Share of the gradient", xlim=(0, 1))
    ax.set_yticks(range(len(shares)), list(shares))
    ax.invert_yaxis()
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.grid(False)
    patches = [
        Patch(color=colour, label=name)
        for name, colour in zip(names, colours, strict=True)
    ]
    fig.legend(
        handles=patches, loc="outside lower center", ncols=min(len(names), 6)
    )
    return fig


def histories(
    history: pd.DataFrame,
    metrics=("loss", "accuracy"),
    title: str = "Training history",
) -> Figure:
    """Curves over the epochs: solid for training, dashed for validation.

    ``history`` has the columns method, seed, epoch, part ("train" or
    "val"), metric and value; each of ``metrics`` gets a panel. Thin lines
    are seeds, thick ones their mean. Curves of different losses do not
    compare; a common metric beside them does.
    """
    fig = new_chart(4.3 * len(metrics), 3.7)
    fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    methods = list(dict.fromkeys(history["method"]))
    dashes = {"train": "-", "val": "--"}
    panels = fig.subplots(1, len(metrics), squeeze=False)[0]
    for ax, metric in zip(panels, metrics, strict=True):
        rows = history[history["metric"] == metric]
        if rows.empty:
            raise ValueError(f"histories: no rows of the metric {metric!r}")
        for (method, part), curve in rows.groupby(["method", "part"]):
            look = {"color": method_look(method)[1], "ls": dashes[part]}
            wide = curve.pivot(index="epoch", columns="seed", values="value")
            if wide.shape[1] > 1:
                ax.plot(wide, linewidth=0.7, alpha=0.35, **look)
            ax.plot(wide.mean(axis=1), linewidth=2, **look)
        ax.set(xlabel="Epoch", ylabel=_NAMES.get(metric, metric))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    handles = [_method_line(method) for method in methods] + [
        Line2D([], [], color=INK, ls="-", label="training"),
        Line2D([], [], color=INK, ls="--", label="validation"),
    ]
    # Labels are long: where there are many, a column a panel.
    few = len(handles) <= 2 * len(metrics)
    columns = len(handles) if few else len(metrics)
    fig.legend(handles=handles, loc="outside lower center", ncols=columns)
    return fig


def confusion_pair(
    confusions: dict[str, np.ndarray],
    names,
    title: str = "Confusion matrices on the test part",
) -> Figure:
    """Confusion matrices side by side, true class on the rows.

    ``confusions`` maps a label to a (C, C) table of counts, or of means of
    counts over seeds. The colour is the share of the true class.
    """
    n = len(names)
    side = 0.62 * n + 0.4
    fig = new_chart(len(confusions) * side + 1.6, side + 1.1)
    fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes = fig.subplots(1, len(confusions), sharey=True, squeeze=False)[0]
    for ax, (label, table) in zip(axes, confusions.items(), strict=True):
        table = np.asarray(table)
        total = table.sum(axis=1, keepdims=True)
        share = table / np.where(total == 0, 1, total)
        shown = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
        whole = np.all(table == np.round(table))
        for row, column in np.ndindex(n, n):
            value = table[row, column]
            ax.text(
                column,
                row,
                f"{value:.0f}" if whole else f"{value:.1f}",
                ha="center",
                va="center",
                fontsize=9,
                color="white" if share[row, column] > 0.55 else INK,
            )
        ax.set_title(label, loc="center", fontsize=10)
        ax.set(xlabel="Predicted class", xticks=range(n), yticks=range(n))
        ax.set_xticklabels(names, rotation=45, ha="right")
        ax.grid(False)
        ax.spines[:].set_visible(False)
    axes[0].set(ylabel="True class", yticklabels=names)
    bar = fig.colorbar(shown, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label("Share of the true class")
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1))
    bar.outline.set_visible(False)
    return fig


def per_class_change(
    table: pd.DataFrame,
    metric: str = "f1",
    title: str = "F1 of each class, by method",
) -> Figure:
    """A dumbbell a class: two methods, measured and published.

    ``table`` has the columns class, method, origin ("measured" or
    "published"), value, low and high; the last two, the interval, are NaN
    for published numbers. Classes keep the order of the table.
    """
    classes = list(dict.fromkeys(table["class"]))
    methods = list(dict.fromkeys(table["method"]))
    origins = [
        o for o in ("measured", "published") if o in set(table["origin"])
    ]
    fig = new_chart(8, 1.4 + 0.62 * len(classes))
    ax = fig.subplots()
    for row, origin in (
        (classes.index(c), o) for c in classes for o in origins
    ):
        measured = origin == "measured"
        here = table[
            (table["class"] == classes[row]) & (table["origin"] == origin)
        ].set_index("method")
        y = row + (0 if len(origins) == 1 else -0.17 if measured else 0.2)
        ax.plot(
            here["value"], [y] * len(here), color="#C4C4C4", lw=2.5, zorder=1
        )
        for rank, method in enumerate(m for m in methods if m in here.index):
            colour = method_look(method)[1]
            dot = here.loc[method]
            # The two intervals overlap; a hair's breadth keeps both in view.
            level = y + (rank - (len(here) - 1) / 2) * 0.11 * measured
            ax.plot(
                [dot["low"], dot["high"]], [level] * 2, color=colour, lw=1.3
            )
            ax.plot(
                dot["value"],
                level,
                marker="o" if measured else "D",
                markersize=7 if measured else 6,
                markerfacecolor=colour if measured else "white",
                markeredgecolor=colour,
                linestyle="none",
            )
    ax.set_yticks(range(len(classes)), classes)
    ax.set_ylim(len(classes) - 0.45, -0.55)
    ax.set(title=title, xlabel=_NAMES.get(metric, metric))
    ax.grid(axis="y", visible=False)
    handles = [
        Line2D([], [], color=method_look(m)[1], lw=4, label=method_look(m)[0])
        for m in methods
    ]
    marks = {
        "measured": {"marker": "o", "label": "measured, 95% interval"},
        "published": {"marker": "D", "mfc": "white", "label": "published"},
    }
    handles += [
        Line2D([], [], color=INK, ls="none", markersize=6, **marks[o])
        for o in origins
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return fig


def factorial(
    table: pd.DataFrame,
    runs: pd.DataFrame,
    metric: str = "macro_f1",
    title: str = "Score by split and method",
) -> Figure:
    """Splits along x, methods by colour: which of the two moves the score?

    ``table`` has the columns split, method, mean, low and high; ``runs``
    has split, method and value, one row a seed or reshuffle, drawn as small
    dots. A line joins a method's means, so that its slope shows the split
    and the gap between lines the method.
    """
    splits = list(dict.fromkeys(table["split"]))
    methods = list(dict.fromkeys(table["method"]))
    fig = new_chart(7, 4.2)
    ax = fig.subplots()
    step = 0.3 / max(len(methods), 1)
    for rank, method in enumerate(methods):
        colour = method_look(method)[1]
        offset = (rank - (len(methods) - 1) / 2) * step
        means = table[table["method"] == method].set_index("split")
        means = means.reindex(splits)
        x = np.arange(len(splits)) + offset
        ax.plot(x, means["mean"], color=colour, lw=1, alpha=0.5)
        ax.vlines(x, means["low"], means["high"], color=colour, lw=2)
        ax.plot(x, means["mean"], "o", color=colour, markersize=8)
        dots = runs[runs["method"] == method]
        places = dots["split"].map({s: i for i, s in enumerate(splits)})
        ax.plot(
            places + offset + np.copysign(0.07, offset or 1),
            dots["value"],
            "o",
            color=colour,
            markersize=3.5,
            alpha=0.6,
        )
    ax.set_xticks(range(len(splits)), splits)
    ax.set_xlim(-0.5, len(splits) - 0.5)
    ax.set(title=title, ylabel=_NAMES.get(metric, metric), xlabel="Split")
    ax.grid(axis="x", visible=False)
    handles = [_method_line(method, marker="o") for method in methods]
    handles += [
        Line2D([], [], color=INK, lw=2, label="95% interval"),
        Line2D(
            [], [], color=INK, ls="none", marker="o", ms=3.5, label="one run"
        ),
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return fig


def interval_plot(
    table: pd.DataFrame,
    title: str = "Difference between the methods",
    xlabel: str = "Difference (B \N{MINUS SIGN} A)",
) -> Figure:
    """A forest plot of differences, with a line at no difference.

    ``table`` has the columns label, delta, low and high, one row a line of
    the plot, from the top. The numbers stand on the right.
    """
    fig = new_chart(8, 1.1 + 0.36 * len(table))
    ax = fig.subplots()
    rows = np.arange(len(table))
    ax.axvline(0, color=QUIET, linestyle="--", linewidth=1.2)
    ax.hlines(rows, table["low"], table["high"], color=_BAR, lw=2)
    ax.plot(table["delta"], rows, "o", color=INK, markersize=6)
    ax.set_yticks(rows, table["label"])
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.set(title=title, xlabel=xlabel)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.grid(axis="y", visible=False)
    numbers = ax.secondary_yaxis("right")
    numbers.set_yticks(rows, [_signed(*v) for v in _values(table)])
    numbers.tick_params(length=0)
    numbers.spines[:].set_visible(False)
    return fig


def _values(table: pd.DataFrame):
    return table[["delta", "low", "high"]].itertuples(index=False)


def _signed(delta: float, low: float, high: float) -> str:
    text = f"{delta:+.3f}"
    if np.isfinite([low, high]).all():
        text += f" [{low:+.3f}, {high:+.3f}]"
    return text.replace("-", "\N{MINUS SIGN}")


def _bars(values, names, texts):
    """Horizontal bars from the top, each with its text behind it."""
    fig = new_chart(7, 1.0 + 0.36 * len(names))
    ax = fig.subplots()
    bars = ax.barh(range(len(names)), values, color=_BAR, height=0.7)
    numbers = ax.bar_label(bars, texts, padding=4, fontsize=9)
    for number in numbers:
        number.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
    ax.set_yticks(range(len(names)), names)
    ax.set_xlim(0, np.max(values) * 1.2)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    return fig, ax


def _method_line(method: str, **look) -> Line2D:
    label, colour = method_look(method)
    return Line2D([], [], color=colour, label=label, **look)


def _readable_on(colour) -> str:
    """Black or white, whichever stands out on the colour."""
    red, green, blue = mpl.colors.to_rgb(colour)
    light = 0.299 * red + 0.587 * green + 0.114 * blue
    return "black" if light > 0.55 else "white"
