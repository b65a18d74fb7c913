"""Lines over x in panels: functions, scores, training histories.

A line that is named by a method has the method's label and colour.
"""

from collections import Counter
from itertools import cycle

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from helpers.figures.style import (
    INK,
    QUIET,
    legend_below,
    method_look,
    new_panels,
)

# Far from the colours of the methods that are drawn most.
_SPARE = (INK, "#8C6BB1", "#8C564B", "#17A2B8")
_DASHES = ("-", "--", "-.", (0, (1, 1)))
_MARKERS = "os^DvPX"
_METRICS = {"loss": "Loss", "accuracy": "Accuracy", "macro_f1": "Macro-F1"}
_PARTS = {"train": "training", "val": "validation", "test": "test"}


def curves(
    panels: dict,
    x=None,
    title: str = "",
    xlabel: str = "",
    ylabel: str = "",
    *,
    colours: dict | None = None,
    markers: bool = False,
    stacked: bool = False,
    log_x: bool = False,
    mark: float | None = None,
    **layout,
) -> Figure:
    """Lines through given points, each with one look in all panels.

    panels : what stands above a panel, to its lines: {name: y (N,)}, or a
        table (N, lines); a name is a method or any label. NaN leaves a gap
    x : (N,) numbers or names; None takes the index of each panel's table
    colours : of lines that are no methods, by their names
    markers, stacked : whether points are marked; whether lines are shares
        that are laid upon each other
    mark : x of a dotted line from top to bottom
    layout : columns and sharey of `new_panels`
    """
    tables = {name: pd.DataFrame(own) for name, own in panels.items()}
    if x is not None:
        tables = {name: own.set_axis(x) for name, own in tables.items()}
    names = dict.fromkeys(name for own in tables.values() for name in own)
    looks = _looks(names, colours, markers)
    fig, axes = new_panels(panels, title, **layout)
    for ax, own in zip(axes, tables.values(), strict=True):
        if stacked:
            shades = [looks[name]["color"] for name in own]
            ax.stackplot(own.index, own.T, labels=own, colors=shades, lw=0)
            ax.margins(0)
            ax.grid(False)
        else:
            for name, values in own.items():
                ax.plot(own.index, values, **looks[name])
        if mark is not None:
            ax.axvline(mark, color=QUIET, ls=":", lw=1.2)
        _x_axis(ax, own.index, log_x)
        ax.set_xlabel(xlabel)
        if ax.get_subplotspec().is_first_col():
            ax.set_ylabel(ylabel)
    legend_below(fig)
    return fig


def scores_over(
    table: pd.DataFrame,
    x: str,
    line: str,
    title: str = "",
    xlabel: str = "",
    ylabel: str = "",
    *,
    panel: str | None = None,
    log_x: bool = False,
    zero: bool = False,
) -> Figure:
    """Scores with their seeds or their intervals, lines joining the means.

    table : the columns `x`, `line` and value, and perhaps low and high, the
        ends of a vertical bar. Rows with the same x and line are seeds:
        small dots, with a marker at their mean
    x, line : columns of numbers or names, and of methods or other labels
    panel : the column with a panel for each of its values
    zero : whether a dashed line marks zero
    """
    panels = {"": table}
    if panel:
        panels = dict(list(table.groupby(panel, sort=False)))
    looks = _looks(dict.fromkeys(table[line]), markers=True)
    shared = table.groupby(x)[line].nunique().max() > 1
    fig, axes = new_panels(panels, title, sharey=True)
    for ax, own in zip(axes, panels.values(), strict=True):
        if zero:
            ax.axhline(0, color=QUIET, ls="--", lw=1.2)
        numeric = pd.api.types.is_numeric_dtype(own[x])
        places = own[x] if numeric else pd.factorize(own[x])[0]
        step = 0.01 * np.ptp(places) if numeric else 0.1
        for rank, (label, look) in enumerate(looks.items()):
            # Apart, so that equal values stay in view.
            rank = rank - (len(looks) - 1) / 2 if shared else 0
            apart = places * 1.05**rank if log_x else places + rank * step
            rows = own.assign(place=apart)[own[line] == label]
            _with_ends(ax, rows.dropna(subset="value"), look)
        _x_axis(ax, own[x], log_x)
        if not numeric:
            names = own[x].unique()
            ax.set_xticks(range(len(names)), names)
        ax.set_xlabel(xlabel)
    axes[0].set_ylabel(ylabel)
    legend_below(fig)
    return fig


def _with_ends(ax, rows, look) -> None:
    """One line of `scores_over`: its means, and its seeds or intervals."""
    groups = rows.groupby("place")
    means = groups.mean(numeric_only=True)
    colour = look["color"]
    if len(rows):
        ax.plot(means["value"], ms=6, **look)
    if rows.duplicated("place").any():
        seeds = rows["place"], rows["value"]
        ax.plot(*seeds, "o", ms=3, alpha=0.6, color=colour)
    if "low" in means:
        ends = means["low"], means["high"]
        ax.vlines(means.index, *ends, lw=1.6, color=colour)


def histories(history, title: str, panels="metric", ylabel="") -> Figure:
    """Curves over the epochs: solid for training, dashed for another set.

    ``history`` has the columns method, seed, epoch, part ("train", and "val"
    or "test"), metric and value; ``panels`` is the column with a panel for
    each of its values. Thin lines are seeds, thick ones their mean. Curves of
    different losses do not compare; a common metric beside them does.
    """
    tables = dict(list(history.groupby(panels, sort=False)))
    names = [_METRICS.get(name, name) for name in tables]
    fig, axes = new_panels(names, title, sharey=panels != "metric")
    looks = _looks(dict.fromkeys(history["method"]))
    dashes = {part: "--" for part in history["part"]} | {"train": "-"}
    for ax, rows in zip(axes, tables.values(), strict=True):
        for (method, part), own in rows.groupby(["method", "part"]):
            seeds = own.pivot_table("value", "epoch", "seed")
            look = looks[method] | {"ls": dashes[part]}
            ax.plot(seeds, lw=0.7, alpha=0.35, **look)
            ax.plot(seeds.mean(axis=1), lw=2, **look)
        ax.set_xlabel("Epoch")
        _x_axis(ax, rows["epoch"], log=False)
    axes[0].set_ylabel(ylabel)
    handles = [Line2D([], [], **look | {"ls": "-"}) for look in looks.values()]
    for part in history["part"].unique():
        look = {"ls": dashes[part], "color": INK}
        handles.append(Line2D([], [], label=_PARTS[part], **look))
    legend_below(fig, handles)
    return fig


def _x_axis(ax, x, log: bool) -> None:
    """A logarithmic axis names its few values; whole numbers stay whole."""
    x = np.unique(x)
    if log:
        ax.set_xscale("log")
        if len(x) <= 10:
            ax.set_xticks(x, [f"{value:.4g}" for value in x])
            ax.xaxis.set_minor_locator(NullLocator())
    elif x.dtype.kind in "iuf" and np.all(x == np.round(x)):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))


def _looks(names, colours=None, markers=False) -> dict[str, dict]:
    """Label, colour, dashes (which tell a family's methods apart), marker.

    Of names that are no methods, four have colours and dashes of their own;
    of more, the shades go from light to dark.
    """
    from helpers.methods.registry import METHODS

    others = [name for name in names if name not in METHODS]
    many = len(others) > len(_SPARE)
    shades = sns.color_palette("viridis_r", len(others)) if many else _SPARE
    shades = dict(zip(others, shades, strict=False)) | (colours or {})
    looks, before = {}, Counter()
    for name, marker in zip(names, cycle(_MARKERS), strict=False):
        label, colour, family = name, shades.get(name), name if many else ""
        if name in METHODS:
            label, colour = method_look(name)
            family = METHODS[name].family
        dash = _DASHES[before[family] % len(_DASHES)]
        before[family] += 1
        looks[name] = {"label": label, "color": colour, "ls": dash}
        looks[name]["marker"] = marker if markers else None
    return looks
