"""Tables as colours: confusion matrices and heat maps of differences."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from helpers.figures.style import MINUS, new_panels


def confusion_matrices(
    confusions: dict[str, np.ndarray],
    names,
    title: str = "Confusion matrices on the test set",
) -> Figure:
    """Confusion matrices side by side, true class on the rows.

    ``confusions`` maps a label to a (C, C) table of counts, or of means of
    counts over seeds. The colour is the share of the true class.
    """
    shares, texts = {}, {}
    for label, counts in confusions.items():
        counts = np.asarray(counts)
        total = counts.sum(axis=1, keepdims=True)
        share = counts / np.where(total == 0, 1, total)
        shares[label] = pd.DataFrame(share, names, names)
        digits = 0 if np.all(counts == np.round(counts)) else 1
        texts[label] = pd.DataFrame(counts, names, names).map(
            f"{{:.{digits}f}}".format
        )
    fig, axes = _annotated(
        shares,
        texts,
        title,
        "Share of the true class",
        square=True,
        cmap="Blues",
        vmin=0,
        vmax=1,
    )
    for ax in axes:
        ax.set_xlabel("Predicted class")
        ax.set_xticklabels(names, rotation=45, ha="right")
    axes[0].set_ylabel("True class")
    fig.axes[-1].yaxis.set_major_formatter(PercentFormatter(1))
    return fig


def heat_maps(
    panels: dict[str, pd.DataFrame],
    title: str = "",
    label: str = "Difference",
    *,
    texts: dict[str, pd.DataFrame] | None = None,
    digits: int = 3,
    limit: float | None = None,
) -> Figure:
    """Differences in grids of settings, coloured about no difference.

    Parameters
    ----------
    panels : what stands above a panel, to differences, the panels' rows
        being the same; the names of index and columns become the axes'
        labels. A NaN leaves a cell empty.
    label : of the colours
    texts : what stands in each cell, for instance with an interval in a line
        of its own; by default the value with so many digits
    limit : the difference, up or down, at which the colours end; by default
        the largest, which makes small differences look large

    Raises
    ------
    ValueError
        Where texts has another shape than the differences.
    """
    if texts is None:
        texts = {
            k: v.map(f"{{:+z.{digits}f}}".format) for k, v in panels.items()
        }
    far = limit or max(np.nanmax(v.abs()) for v in panels.values()) or 1
    fig, _ = _annotated(
        panels, texts, title, label, cmap="PuOr_r", vmin=-far, vmax=far
    )
    return fig


def _annotated(panels, texts, title, label, square=False, **look):
    """Heat maps with a text in each cell, and one bar of their colours."""
    first = next(iter(panels.values()))
    lines = [t.split("\n") for own in texts.values() for t in np.ravel(own)]
    wide = max(0.62, 0.095 * max(len(row) for text in lines for row in text))
    high = wide if square else 0.12 + 0.17 * max(map(len, lines))
    width = wide * max(table.shape[1] for table in panels.values())
    fig, axes = new_panels(
        panels,
        title,
        size=(width + 0.3 + 2.2 / len(panels), len(first) * high + 1.1),
        columns=len(panels),
        below=0,
        sharey=True,
    )
    for ax, (name, values) in zip(axes, panels.items(), strict=True):
        annot = texts[name].map(lambda text: text.replace("-", MINUS))
        look |= {"square": square, "fmt": "", "annot_kws": {"fontsize": 9}}
        sns.heatmap(values, annot=annot, cbar=False, ax=ax, **look)
        ax.tick_params(rotation=0)
        ax.grid(False)
        ax.label_outer()
    bar = fig.colorbar(axes[0].collections[0], ax=axes, pad=0.02, label=label)
    bar.outline.set_visible(False)
    return fig, axes
