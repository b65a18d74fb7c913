"""How far one loss is ahead of another, over the imbalance ratio.

Takes tables, never loads data. How figures are shown and saved, and the
style, is in `figures.style`. Titles describe and never name a winner.
"""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from helpers.figures.style import INK, QUIET, new_chart

__all__ = ["gains_by_ratio"]

_COLOURS = (INK, "#0072B2", "#D55E00", "#009E73")
_MARKERS = "osD^"


def gains_by_ratio(
    panels: dict[str, pd.DataFrame],
    title: str,
    ylabel: str = "Difference",
) -> Figure:
    """Differences over imbalance ratios, panels side by side on one y axis.

    As Fig. 13 of Pasupa, Vatathanavaro and Tungjitnob
    (doi:10.1007/s12652-020-01773-x), with intervals.

    Parameters
    ----------
    panels : what stands above a panel, to a table with the columns rho,
        delta, low and high, the last two NaN where there is no interval, and
        label, which tells the panel's lines apart
    ylabel : of the first panel

    Raises
    ------
    ValueError
        Where a panel lacks one of the columns, or has more than four lines.
    """
    fig = new_chart(3.3 * len(panels) + 0.6, 3.9)
    fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes = fig.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for ax, (name, table) in zip(axes, panels.items(), strict=True):
        needed = {"label", "rho", "delta", "low", "high"}
        if missing := sorted(needed - set(table)):
            raise ValueError(f"panels: {name!r} lacks the columns {missing}")
        labels = list(dict.fromkeys(table["label"]))
        if len(labels) > len(_COLOURS):
            raise ValueError(
                f"panels: {name!r} has {len(labels)} lines; {len(_COLOURS)} "
                "can be told apart, take more panels"
            )
        ax.axhline(0, color=QUIET, ls="--", lw=1.2)
        for rank, label in enumerate(labels):
            own = table[table["label"] == label].sort_values("rho")
            # A hair's breadth apart, so that equal values stay in view.
            x = own["rho"] * 1.03 ** (rank - (len(labels) - 1) / 2)
            ax.vlines(x, own["low"], own["high"], color=_COLOURS[rank], lw=1.6)
            ax.plot(
                x,
                own["delta"],
                color=_COLOURS[rank],
                marker=_MARKERS[rank],
                ms=5,
                lw=1.2,
                label=label,
            )
        ax.set_xscale("log")
        ratios = sorted(set(table["rho"]))
        ax.set_xticks(ratios, [f"{ratio:.0f}" for ratio in ratios])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_title(name, loc="center", fontsize=10)
        ax.set_xlabel("Imbalance ratio ρ")
        ax.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=len(labels)
        )
    axes[0].set_ylabel(ylabel)
    return fig
