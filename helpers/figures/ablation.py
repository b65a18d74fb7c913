"""Charts of many losses by imbalance ratio, by class size and by network.

Each takes tables, never loads data. How figures are shown and saved, and the
style, is in `figures.style`. Titles describe and never name a winner.
"""

from itertools import cycle

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from helpers.figures.style import INK, QUIET, method_look, new_chart

__all__ = ["by_epoch", "by_network", "dots", "gain_map", "tails"]

BASELINE = "cross_entropy"
_LARGE_GAIN = 0.06
# Values of one alpha share a colour, so markers tell the lines apart.
_MARKERS = "osv^DPX"


def tails(
    panels: dict[str, dict[str, np.ndarray]],
    title: str = "Training pictures of each class",
) -> Figure:
    """Class sizes of long-tailed training parts, a panel a data set.

    ``panels`` maps a data set to {label of a part: counts (C,)}, from the
    least to the most imbalanced part; the count axis is logarithmic.
    """
    fig = new_chart(4.5 * len(panels), 3.7)
    fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes = fig.subplots(1, len(panels), squeeze=False)[0]
    labels = list(
        dict.fromkeys(label for own in panels.values() for label in own)
    )
    shades = sns.color_palette("viridis_r", len(labels))
    colours = dict(zip(labels, shades, strict=True))
    for ax, (name, parts) in zip(axes, panels.items(), strict=True):
        for label, counts in parts.items():
            few = len(counts) <= 20
            ax.plot(
                counts,
                color=colours[label],
                marker="o" if few else None,
                markersize=4,
            )
        ax.set(title=name, xlabel="Class", ylabel="Pictures", yscale="log")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
        ax.yaxis.set_major_formatter("{x:,.0f}")
    for label in labels:
        axes[0].plot([], [], color=colours[label], label=label)
    fig.legend(loc="outside lower center", ncols=min(len(labels), 7))
    return fig


def dots(
    panels: dict[str, pd.DataFrame],
    title: str,
    xlabel: str = "Accuracy",
) -> Figure:
    """Scores with their intervals, a row a method and a panel a score.

    A panel's table has the columns method, mean, low and high, the last two
    NaN where there is no interval. The rows are those of the first panel, in
    its order. A dashed line marks cross-entropy, where it is among them.
    Unlike bars, dots need no axis that starts at nought.
    """
    methods = list(next(iter(panels.values()))["method"])
    fig = new_chart(2.4 + 2.7 * len(panels), 1.3 + 0.25 * len(methods))
    fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes = fig.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for ax, (name, table) in zip(axes, panels.items(), strict=True):
        table = table.set_index("method").loc[methods]
        if BASELINE in table.index:
            level = table.loc[BASELINE, "mean"]
            ax.axvline(level, color=QUIET, ls="--", lw=1, zorder=0.9)
        for row, (method, value) in enumerate(table.iterrows()):
            colour = method_look(method)[1]
            ax.hlines(row, value["low"], value["high"], color=colour, lw=1.8)
            ax.plot(value["mean"], row, "o", color=colour, markersize=6)
        ax.set(title=name, xlabel=xlabel)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.grid(axis="y", visible=False)
    labels = [method_look(method)[0] for method in methods]
    axes[0].set_yticks(range(len(methods)), labels)
    axes[0].set_ylim(len(methods) - 0.4, -0.6)
    return fig


def gain_map(panels: dict[str, pd.DataFrame], title: str) -> Figure:
    """How far each method's score is from that of cross-entropy.

    A panel's table has methods, cross-entropy among them, on its rows,
    imbalance ratios on its columns and scores, fractions, in its cells.
    Written and coloured is the difference in points, 1 % each; beyond 6
    points the colour does not deepen.
    """
    methods = list(next(iter(panels.values())).index)
    ratios = max(table.shape[1] for table in panels.values())
    width = 2.2 + len(panels) * (0.52 * ratios + 0.3)
    fig = new_chart(width, 1.4 + 0.27 * len(methods))
    fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes = fig.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for ax, (name, table) in zip(axes, panels.items(), strict=True):
        gain = table.loc[methods] - table.loc[BASELINE]
        ax.imshow(
            gain,
            cmap="PuOr_r",
            vmin=-_LARGE_GAIN,
            vmax=_LARGE_GAIN,
            aspect="auto",
        )
        for row, column in np.ndindex(gain.shape):
            # Rounded here, plus 0: nothing prints as minus nought.
            value = round(100 * gain.iloc[row, column], 1) + 0
            dark = abs(value) > 70 * _LARGE_GAIN
            ax.text(
                column,
                row,
                f"{value:+.1f}".replace("-", "\N{MINUS SIGN}"),
                ha="center",
                va="center",
                fontsize=8,
                color="white" if dark else "black",
            )
        ax.set_xticks(range(gain.shape[1]), gain.columns)
        ax.set(title=name, xlabel="Imbalance ratio ρ")
        ax.grid(False)
        ax.spines[:].set_visible(False)
    axes[0].set_yticks(
        range(len(methods)), [method_look(method)[0] for method in methods]
    )
    return fig


def by_network(panels: dict[str, pd.DataFrame], title: str) -> Figure:
    """Scores along networks of growing depth, a line a method.

    A panel's table has networks on its rows, methods on its columns and
    fractions in its cells; a cell that is NaN leaves a gap.
    """
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    fig = new_chart(4.3 * columns, 3.2 * rows + 0.6)
    fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes = fig.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    for ax, (name, table) in zip(axes, panels.items(), strict=False):
        for marker, (method, values) in zip(
            cycle(_MARKERS), table.items(), strict=False
        ):
            label, colour = method_look(method)
            ax.plot(
                values.to_numpy(),
                color=colour,
                marker=marker,
                markersize=5,
                label=label,
            )
        ax.set_xticks(range(len(table)), table.index)
        ax.set_title(name)
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=4)
    return fig


def by_epoch(
    panels: dict[str, pd.DataFrame], title: str, ylabel: str = "Accuracy"
) -> Figure:
    """Means over the seeds by epoch: solid for training, dashed for test.

    A panel's table has the columns method, seed, epoch, part ("train" or
    "test") and value, a fraction; a colour is a method.
    """
    fig = new_chart(max(4.6 * len(panels), 6.4), 4.2)
    fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes = fig.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    dashes = {"train": "-", "test": "--"}
    methods = list(dict.fromkeys(next(iter(panels.values()))["method"]))
    for ax, (name, table) in zip(axes, panels.items(), strict=True):
        means = table.groupby(["method", "part", "epoch"])["value"].mean()
        for method in methods:
            for part, style in dashes.items():
                mean = means[method, part]
                colour = method_look(method)[1]
                ax.plot(mean.index, mean, color=colour, ls=style, lw=1.8)
        ax.set(title=name, xlabel="Epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    axes[0].set_ylabel(ylabel)
    looks = [method_look(method) for method in methods]
    handles = [Line2D([], [], color=c, label=label) for label, c in looks] + [
        Line2D([], [], color=INK, ls="-", label="training"),
        Line2D([], [], color=INK, ls="--", label="test"),
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=3)
    return fig
