"""Charts of loss functions, and of what they did on a grid of settings.

Each takes arrays or tables, never loads data. How figures are shown and
saved, and the style, is in `figures.style`. Titles describe and never name
a winner.
"""

import re
from collections import Counter
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from helpers.figures.style import INK, QUIET, method_look, new_chart

__all__ = ["curves", "heat_map"]

P_LABEL = "Probability p of the true class"
# Far from the colours of the methods that are drawn most.
_SPARE = (INK, "#8C6BB1", "#8C564B", "#17A2B8")
_MINUS = "\N{MINUS SIGN}"
_DASHES = ("-", "--", "-.", (0, (1, 1)))


def curves(
    x,
    panels: dict[str, dict[str, np.ndarray]],
    title: str = "",
    xlabel: str = P_LABEL,
    log_x: bool = False,
    log_y: tuple[str, ...] = (),
    split: float | None = None,
) -> Figure:
    """Functions of the same x side by side, one colour each in all panels.

    Parameters
    ----------
    x : float (N,), such as p of the true class
    panels : what stands on a panel's y axis, to its curves: a method's name
        (or any label, which gets a colour of its own), to y of shape (N,).
        A NaN leaves a gap.
    log_x : whether all the panels' x axes are logarithmic
    log_y : the panels, by their names, with a logarithmic y axis
    split : where to draw a dotted line from top to bottom, such as p = 0.5

    Raises
    ------
    ValueError
        Where a name in log_y is no panel, or a curve's length is not x's.
    """
    unknown = set(log_y) - set(panels)
    if unknown:
        raise ValueError(
            f"log_y: no panel {', '.join(map(repr, sorted(unknown)))}; there "
            f"are {', '.join(map(repr, panels))}"
        )
    x = np.asarray(x, dtype=float)
    names = list(
        dict.fromkeys(name for own in panels.values() for name in own)
    )
    looks = _looks(names)
    columns = 2 if len(panels) == 4 else min(len(panels), 3)
    rows = -(-len(panels) // columns)
    fig = new_chart(max(4.2 * columns, 5.5), 3.5 * rows + 0.5)
    if title:
        fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes = fig.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    for ax, (ylabel, own) in zip(axes, panels.items(), strict=False):
        for name, values in own.items():
            values = np.asarray(values, dtype=float)
            if values.shape != x.shape:
                raise ValueError(
                    f"panels: {name!r} of {ylabel!r} has shape "
                    f"{values.shape}, x has {x.shape}"
                )
            ax.plot(x, values, **looks[name])
        if split is not None:
            ax.axvline(split, color=QUIET, linestyle=":", linewidth=1.2)
        ax.set(xlabel=xlabel, ylabel=ylabel)
        ax.set_xscale("log" if log_x else "linear")
        if not log_x and np.array_equal(x, np.round(x)):
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_yscale("log" if ylabel in log_y else "linear")
    drawn = {
        line.get_label(): line
        for ax in axes
        for line in ax.get_lines()
        if not line.get_label().startswith("_")
    }
    fig.legend(
        drawn.values(),
        drawn.keys(),
        loc="outside lower center",
        ncols=min(len(drawn), 2 * columns),
    )
    return fig


def heat_map(
    values: pd.DataFrame,
    texts: pd.DataFrame | None = None,
    title: str = "",
    label: str = "",
    limit: float | None = None,
) -> Figure:
    """Differences in a grid of settings, coloured about no difference.

    Parameters
    ----------
    values : differences, a row and a column of the grid each; the names of
        index and columns become the axes' labels. A NaN leaves a cell empty.
    texts : what stands in each cell, for instance with an interval in a line
        of its own; by default the value with three decimals
    label : of the colours
    limit : the difference, up or down, at which the colours end; by default
        the largest, which makes small differences look large

    Raises
    ------
    ValueError
        Where texts has other rows or columns than values.
    """
    if texts is None:
        texts = values.map("{:+.3f}".format)
    if not (
        texts.index.equals(values.index)
        and texts.columns.equals(values.columns)
    ):
        raise ValueError("texts: its rows and columns are not those of values")
    numbers = values.to_numpy(float)
    rows, columns = numbers.shape
    lines = [str(text).split("\n") for text in texts.to_numpy().ravel()]
    letters = max(len(line) for text in lines for line in text)
    height = 0.22 + 0.2 * max(map(len, lines))
    fig = new_chart(
        2.2 + max(1.0, 0.1 * letters) * columns, 1.5 + height * rows
    )
    ax = fig.subplots()
    far = limit or np.nanmax(np.abs(numbers)) or 1.0
    shown = ax.imshow(numbers, "PuOr_r", vmin=-far, vmax=far, aspect="auto")
    for row, column in zip(*np.nonzero(np.isfinite(numbers)), strict=True):
        ax.text(
            column,
            row,
            re.sub(r"-(?=[\d.])", _MINUS, str(texts.iat[row, column])),
            ha="center",
            va="center",
            fontsize=9,
            color="white" if abs(numbers[row, column]) > 0.6 * far else INK,
        )
    ax.set(title=title, xlabel=values.columns.name, ylabel=values.index.name)
    ax.set_xticks(range(columns), values.columns)
    ax.set_yticks(range(rows), values.index)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    bar = fig.colorbar(shown, ax=ax, pad=0.02)
    bar.set_label(label)
    bar.outline.set_visible(False)
    return fig


def _looks(names):
    """Label and colour of each curve; dashes tell a family's members apart."""
    from helpers.methods.registry import METHODS

    spare = cycle(_SPARE)
    looks, drawn = {}, Counter()
    for name in names:
        if name not in METHODS:
            looks[name] = {"label": name, "color": next(spare)}
            continue
        label, colour = method_look(name)
        family = METHODS[name].family
        dashes = _DASHES[drawn[family] % len(_DASHES)]
        looks[name] = {"label": label, "color": colour, "ls": dashes}
        drawn[family] += 1
    return looks
