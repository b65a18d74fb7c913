"""Charts and sheets of severity grading: sides, rates, errors, maps.

Each takes arrays or tables, never loads data. How figures are shown and
saved, and the style, is in `figures.style`. Titles describe and never name
a winner.
"""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.ticker import NullLocator, PercentFormatter

from helpers.figures.style import INK, method_look, new_chart, new_sheet

__all__ = ["by_rate", "by_side", "grade_errors", "map_sheet"]

_MARKERS = "os^Dv"
_SIDE = 1.35
"""Inches that one picture of a sheet of maps takes."""
_MINUS = "\N{MINUS SIGN}"


def by_side(
    table: pd.DataFrame,
    scores: dict[str, str],
    diameter: float,
    title: str = "Score by size of the picture and of the lesions",
) -> Figure:
    """Scores over the pictures' side, a line a lesion size.

    Parameters
    ----------
    table : a row a (lesion_size, side), with the columns NAME, NAME_low and
        NAME_high for each score, which is 1 at best
    scores : column NAME to what stands on the y axis, a panel each
    diameter : of a lesion of size 1, as share of the picture's side; a last
        panel has the first score over the lesions' diameter in pixels, where
        what depends on nothing but that diameter falls on one line
    """
    sizes = sorted(table["lesion_size"].unique())
    shades = sns.color_palette("viridis", len(sizes) + 1)[:-1]
    fig = new_chart(3.1 * (len(scores) + 1), 3.7)
    fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes = fig.subplots(1, len(scores) + 1)
    first = next(iter(scores))
    for ax, name in zip(axes, [*scores, first], strict=True):
        across = ax is axes[-1]
        for rank, (size, shade) in enumerate(zip(sizes, shades, strict=True)):
            own = table[table["lesion_size"] == size].sort_values("side")
            # A hair's breadth apart, so that intervals stay in view.
            x = own["side"] * 1.03 ** (rank - (len(sizes) - 1) / 2)
            if across:
                x = own["side"] * size * diameter
            # Few seeds make intervals that pass what a score can be.
            ends = own[f"{name}_low"], own[f"{name}_high"].clip(upper=1)
            ax.vlines(x, *ends, color=shade, lw=1.4)
            ax.plot(
                x,
                own[name],
                marker=_MARKERS[rank % len(_MARKERS)],
                ms=6,
                color=shade,
                ls=":" if across else "-",
                label=f"{size:g} ×",
            )
        ax.set_xscale("log", base=2)
        ax.xaxis.set_minor_locator(NullLocator())
        if across:
            ax.xaxis.set_major_formatter("{x:g}")
            ax.set_xlabel("Diameter of a lesion (pixels)")
        else:
            sides = np.unique(table["side"])
            ax.set_xticks(sides, [f"{side:g}" for side in sides])
            ax.set_xlabel("Side of the picture (pixels)")
        ax.set_ylabel(scores[name])
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(
        handles,
        labels,
        title="Size of the lesions",
        loc="outside lower center",
        ncols=len(sizes),
    )
    return fig


def by_rate(
    table: pd.DataFrame,
    scores: dict[str, str],
    log_y: tuple[str, ...] = (),
    title: str = "Score by learning rate",
) -> Figure:
    """Scores over the learning rate, a line a kind of training.

    ``table`` has the columns kind, rate and one for each of the ``scores``
    (column to y label, a panel each), one row a seed: small dots are seeds,
    lines join their means. ``log_y`` names columns with a logarithmic y
    axis, whose zeros, were there any, are left out.
    """
    kinds = list(dict.fromkeys(table["kind"]))
    colours = sns.color_palette("colorblind", len(kinds))
    rates = np.unique(table["rate"])
    fig = new_chart(4.3 * len(scores), 3.7)
    fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes = fig.subplots(1, len(scores), squeeze=False)[0]
    for ax, (name, ylabel) in zip(axes, scores.items(), strict=True):
        for rank, (kind, colour) in enumerate(
            zip(kinds, colours, strict=True)
        ):
            own = table[table["kind"] == kind].dropna(subset=name)
            if name in log_y:
                own = own[own[name] > 0]
            shift = 1.06 ** (rank - (len(kinds) - 1) / 2)
            ax.plot(
                own["rate"] * shift, own[name], "o", ms=3, alpha=0.6, c=colour
            )
            means = own.groupby("rate")[name].mean()
            ax.plot(
                means.index * shift,
                means,
                marker=_MARKERS[rank % len(_MARKERS)],
                ms=6,
                color=colour,
                label=kind,
            )
        ax.set_xscale("log")
        ax.set_xticks(rates)
        ax.xaxis.set_minor_locator(NullLocator())
        if name in log_y:
            ax.set_yscale("log")
        ax.set(xlabel="Learning rate", ylabel=ylabel)
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=len(kinds))
    return fig


def grade_errors(
    confusions: dict[str, np.ndarray],
    names,
    title: str = "How far off the grade is",
) -> Figure:
    """Bars of predicted minus true grade, a panel a true grade and all.

    ``confusions`` maps a method to a (C, C) table of counts, or of means of
    counts over seeds, true grade on the rows, mildest first.
    """
    steps = len(names)
    panels = [*names, "all"]
    off = np.arange(1 - steps, steps)
    fig = new_chart(2.1 * len(panels), 3.4)
    fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes = fig.subplots(1, len(panels), sharey=True)
    width = 0.8 / len(confusions)
    for rank, (method, table) in enumerate(confusions.items()):
        label, colour = method_look(method)
        table = np.asarray(table, dtype=float)
        place = off + (rank - (len(confusions) - 1) / 2) * width
        for row, ax in enumerate(axes):
            own = np.zeros_like(table)
            own[row : row + 1] = table[row : row + 1]
            if row == steps:
                own = table
            counts = np.array([np.trace(own, d) for d in off])
            total = counts.sum()
            ax.bar(
                place,
                counts / (total or 1),
                width,
                color=colour,
                label=label if row == 0 else None,
            )
    for ax, name in zip(axes, panels, strict=True):
        ax.set_title(name, loc="center", fontsize=10)
        signed = [f"{d:+d}".replace("-", _MINUS) if d else "0" for d in off]
        ax.set_xticks(off, signed)
        ax.tick_params(axis="x", labelsize=8)
        ax.grid(axis="x", visible=False)
    axes[len(axes) // 2].set_xlabel("Predicted minus true grade")
    axes[0].set_ylabel("Share of the true grade")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    fig.legend(loc="outside lower center", ncols=len(confusions))
    return fig


def map_sheet(
    images: np.ndarray,
    maps: dict[str, np.ndarray],
    titles: list[str],
    lesions: list[pd.DataFrame] | None = None,
) -> Figure:
    """Pictures in a row and, below, maps laid over them, a row a kind.

    Parameters
    ----------
    images : uint8 (N, H, H, 3)
    maps : what stands beside a row, to float (N, h, w), each scaled from its
        own lowest to its own highest value; a flat one stays dark
    titles : above the pictures, one text each
    lesions : a table a picture, with x, y and radius as shares of its side,
        drawn as circles in the first row; None where nobody knows
    """
    count, side = len(images), images.shape[1]
    fig = new_sheet(_SIDE * count + 1.3, _SIDE * (len(maps) + 1) + 0.5)
    axes = fig.subplots(len(maps) + 1, count, squeeze=False)
    for ax in axes.ravel():
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        ax.grid(False)
    extent = (0, side, side, 0)
    for n, ax in enumerate(axes[0]):
        ax.imshow(images[n], extent=extent)
        ax.set_title(titles[n], fontsize=8, loc="center", pad=3)
        if lesions is not None:
            for spot in lesions[n].itertuples():
                # Twice the radius: a ring round a lesion, not upon it.
                ring = Circle(
                    (spot.x * side, spot.y * side),
                    2 * spot.radius * side,
                    fill=False,
                    color="#0B3DFF",
                    lw=0.7,
                )
                ax.add_patch(ring)
    for line, (name, own) in zip(axes[1:], maps.items(), strict=True):
        for ax, image, values in zip(line, images, own, strict=True):
            grey = image.mean(axis=2)
            ax.imshow(grey, "gray", vmin=0, vmax=255, extent=extent)
            low, high = np.min(values), np.max(values)
            shown = (values - low) / ((high - low) or 1)
            ax.imshow(
                shown, "inferno", vmin=0, vmax=1, alpha=0.6, extent=extent
            )
        _beside(line[0], name)
    _beside(axes[0, 0], "picture" if lesions is None else "true\nlesions")
    return fig


def _beside(ax, text):
    ax.set_ylabel(
        text, rotation=0, ha="right", va="center", labelpad=6, color=INK
    )
