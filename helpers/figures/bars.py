"""Bars: numbers of classes, shares of a gradient."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from helpers.figures.style import (
    legend_below,
    new_chart,
    rows_from_the_top,
)


def bar_chart(values, names, title: str, xlabel: str, texts=None) -> Figure:
    """Horizontal bars of values (N,) from the top, each with its number.

    ``texts``, (N,), are written behind the bars; by default the values with
    three decimals.
    """
    fig = new_chart(7, 1.0 + 0.36 * len(names))
    ax = fig.subplots()
    drawn = ax.barh(range(len(names)), values, color="#5B7F95", height=0.7)
    texts = [f"{value:.3f}" for value in values] if texts is None else texts
    for text in ax.bar_label(drawn, texts, padding=4, fontsize=9):
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
    rows_from_the_top(ax, names)
    ax.set(title=title, xlabel=xlabel, xlim=(0, np.max(values) * 1.2))
    return fig


def class_counts(counts, names, title: str = "Images per class") -> Figure:
    """Bars of the number of images (C,) of each class, with their share."""
    counts = np.asarray(counts)
    texts = [f"{n:,} ({n / counts.sum():.1%})" for n in counts]
    fig = bar_chart(counts, names, title, "Images", texts)
    fig.axes[0].locator_params(axis="x", integer=True)
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
    table = pd.DataFrame(shares, index=list(names)).T
    table = table.div(table.sum(axis=1), axis=0)
    fig = new_chart(8, 1.3 + 0.55 * len(table))
    ax = fig.subplots()
    colours = sns.color_palette("viridis", len(names))
    table.plot.barh(
        stacked=True, ax=ax, color=colours, width=0.8, legend=False
    )
    for drawn, colour in zip(ax.containers, colours, strict=True):
        dark = sns.utils.relative_luminance(colour) < 0.408
        ax.bar_label(
            drawn,
            fmt=lambda share: f"{share:.0%}" if share > 0.04 else "",
            label_type="center",
            color="white" if dark else "black",
            fontsize=9,
        )
    rows_from_the_top(ax, table.index)
    ax.set(title=title, xlabel="Share of the gradient", xlim=(0, 1))
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.grid(False)
    legend_below(fig)
    return fig
