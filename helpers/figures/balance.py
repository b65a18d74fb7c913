"""Charts of how classes share a loss, and of what balancing it does.

Each takes arrays or tables, never loads data. How figures are shown and
saved, and the style, is in `figures.style`. Titles describe and never name
a winner. The two smallest classes have the same two colours in all of them.
"""

from itertools import cycle

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogFormatter, NullLocator, PercentFormatter

from helpers.figures.style import INK, QUIET, method_look, new_chart

__all__ = [
    "class_curves",
    "loss_shares",
    "mean_probabilities",
    "means_and_spreads",
    "score_by_batch_size",
]

_SMALLEST = ("#C2185B", "#F39C12")


def loss_shares(
    panels: dict[str, np.ndarray],
    names,
    counts,
    title: str = "Share of the loss each class has in a mini-batch",
    xlabel: str = "Epoch",
) -> Figure:
    """Stacked shares of the classes as training goes on, three panels a row.

    ``panels`` maps what stands above a panel to shares (T, C), each row of
    which sums to 1; ``counts`` are the training pictures (C,) by which the
    classes are stacked, the smallest at the bottom.
    """
    order = np.argsort(counts, kind="stable")
    colours = _class_colours(counts)
    rows = -(-len(panels) // 3)
    fig = new_chart(9, 2.4 * rows + 1)
    fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes = fig.subplots(rows, 3, squeeze=False, sharex=True, sharey=True)
    for ax in axes.ravel()[len(panels) :]:
        ax.set_axis_off()
    for ax, (label, shares) in zip(axes.ravel(), panels.items(), strict=False):
        time = np.arange(1, len(shares) + 1)
        ax.stackplot(
            time,
            np.asarray(shares).T[order],
            colors=[colours[c] for c in order],
            linewidth=0,
        )
        ax.set(xlim=(1, len(shares)), ylim=(0, 1))
        ax.set_title(label, loc="center", fontsize=10)
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.grid(False)
    for ax in axes[-1]:
        ax.set_xlabel(xlabel)
    for ax in axes[:, 0]:
        ax.set_ylabel("Share of the loss")
    _class_legend(fig, names, counts)
    return fig


def class_curves(
    x,
    panels: dict[str, np.ndarray],
    names,
    counts,
    title: str,
    xlabel: str,
    ylabel: str,
    log_x: bool = False,
    reference: np.ndarray | None = None,
) -> Figure:
    """A line a class, panels side by side, each with its own log y axis.

    ``panels`` maps what stands above a panel to values (T, C) over x (T,);
    NaN leaves a gap. ``reference``, (C,), draws a dotted line a class.
    """
    colours = _class_colours(counts)
    small = np.argsort(counts, kind="stable")[:2]
    fig = new_chart(9 if len(panels) > 1 else 7, 4.3)
    fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes = fig.subplots(1, len(panels), squeeze=False)[0]
    for ax, (label, values) in zip(axes, panels.items(), strict=True):
        for c, colour in enumerate(colours):
            front = c in small
            look = {"color": colour, "zorder": 3 if front else 2}
            ax.plot(x, values[:, c], lw=2.2 if front else 1.3, **look)
            if reference is not None:
                ax.axhline(reference[c], ls=":", lw=1, **look)
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(LogFormatter())
        ax.yaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False))
        if log_x:
            _sizes(ax, x)
        ax.set_title(label, loc="center", fontsize=10)
        ax.set_xlabel(xlabel)
    axes[0].set_ylabel(ylabel)
    _class_legend(fig, names, counts, lines=True)
    return fig


def means_and_spreads(
    table: pd.DataFrame,
    title: str = "Accuracy: mean and standard deviation over seeds",
    ylabel: str = "Accuracy",
) -> Figure:
    """A panel a data set, a place a network, a colour a method.

    ``table`` has the columns dataset, network, method and value, one row a
    seed: dots are seeds, the large ones their mean, bars its mean plus and
    minus one standard deviation (n - 1).
    """
    datasets, networks, methods = (
        list(dict.fromkeys(table[c])) for c in ("dataset", "network", "method")
    )
    fig = new_chart(9.4, 4.4)
    fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes = fig.subplots(1, len(datasets), squeeze=False, sharey=True)[0]
    step = 0.8 / len(methods)
    for ax, dataset in zip(axes, datasets, strict=True):
        for rank, method in enumerate(methods):
            colour = method_look(method)[1]
            own = table.query("dataset == @dataset and method == @method")
            for place, network in enumerate(networks):
                values = own.loc[own["network"] == network, "value"]
                x = place + (rank - (len(methods) - 1) / 2) * step
                ax.plot([x] * len(values), values, "o", ms=2.5, color=colour)
                ax.errorbar(
                    x,
                    values.mean(),
                    values.std(ddof=1),
                    fmt="o",
                    ms=6,
                    lw=1.6,
                    color=colour,
                )
        ax.set_xticks(range(len(networks)), networks)
        ax.set_title(dataset, loc="center", fontsize=10)
        ax.grid(axis="x", visible=False)
    axes[0].set_ylabel(ylabel)
    _method_legend(fig, methods)
    return fig


def score_by_batch_size(
    table: pd.DataFrame,
    title: str = "Score by batch size",
    ylabel: str = "Macro-F1",
) -> Figure:
    """A line a method over the batch size; dots are seeds.

    ``table`` has the columns size, method and value, one row a seed.
    """
    methods = list(dict.fromkeys(table["method"]))
    sizes = np.unique(table["size"])
    fig = new_chart(7, 4)
    ax = fig.subplots()
    for rank, method in enumerate(methods):
        own = table[table["method"] == method]
        # A hair's breadth apart, so that equal scores stay in view.
        shift = 1.06 ** (rank - (len(methods) - 1) / 2)
        colour = method_look(method)[1]
        ax.plot(
            own["size"] * shift, own["value"], "o", ms=3, alpha=0.6, c=colour
        )
        means = own.groupby("size")["value"].mean()
        ax.plot(means.index * shift, means, "o-", ms=6, color=colour)
    _sizes(ax, sizes)
    ax.set(title=title, xlabel="Batch size", ylabel=ylabel)
    _method_legend(fig, methods)
    return fig


def mean_probabilities(
    means: dict[str, np.ndarray],
    counts,
    names,
    title: str = "Mean probability given to each class, balanced test part",
) -> Figure:
    """A line a method over the classes, the largest in training first.

    ``means`` maps a method to (C,); ``counts`` are the training pictures,
    whose shares are dotted. A dashed line marks 1 / C.
    """
    counts = np.asarray(counts)
    order = np.argsort(-counts, kind="stable")
    fig = new_chart(8, 4.3)
    ax = fig.subplots()
    place = np.arange(len(counts))
    shares = counts / counts.sum()
    ax.plot(place, shares[order], ":", color=QUIET, label="share in training")
    ax.axhline(
        1 / len(counts), ls="--", lw=1.2, color=INK, label="share in test"
    )
    for mark, (method, values) in zip(
        cycle("os^Dvp"), means.items(), strict=False
    ):
        label, colour = method_look(method)
        ax.plot(
            place, values[order], marker=mark, ms=6, color=colour, label=label
        )
    ax.set_yscale("log")
    ax.set_xticks(place, [f"{names[c]}\n({counts[c]})" for c in order])
    ax.set(
        title=title,
        xlabel="Class (pictures in training)",
        ylabel="Mean probability",
    )
    fig.legend(loc="outside lower center", ncols=3)
    return fig


def _class_colours(counts) -> list:
    """Blue-greys, darker where larger, but for the two smallest classes."""
    order = np.argsort(counts, kind="stable")
    shades = mpl.colormaps["bone"](np.linspace(0.8, 0.2, len(order) - 2))
    colours = [None] * len(order)
    for c, colour in zip(order, [*_SMALLEST, *shades], strict=True):
        colours[c] = colour
    return colours


def _class_legend(fig, names, counts, lines=False):
    colours = _class_colours(counts)
    handles = []
    for c in np.argsort(counts, kind="stable"):
        label = f"{names[c]} ({counts[c]})"
        handles.append(
            Line2D([], [], color=colours[c], label=label)
            if lines
            else Patch(color=colours[c], label=label)
        )
    fig.legend(
        handles=handles,
        title="Class (pictures in training)",
        loc="outside lower center",
        ncols=min(5, len(handles)),
    )


def _method_legend(fig, methods):
    looks = [method_look(method) for method in methods]
    handles = [
        Line2D([], [], color=colour, marker="o", ms=5, label=label)
        for label, colour in looks
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=3)


def _sizes(ax, sizes):
    """A logarithmic x axis that names the sizes and nothing else."""
    ax.set_xscale("log")
    ax.set_xticks(sizes, [f"{size:g}" for size in sizes])
    ax.xaxis.set_minor_locator(NullLocator())
