"""Sheets of images: what the classes look like, single cases, maps."""

import numpy as np
import pandas as pd
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from helpers.figures.style import INK, legend_below, new_sheet

_GREYS = {"cmap": "gray", "vmin": 0, "vmax": 255}
# Of seaborn's "colorblind" palette.
_CIRCLES = {
    "found": ("#029E73", "-"),
    "false": ("#D55E00", "-"),
    "missed": ("#0173B2", "--"),
}


def some_classes(n_classes: int, most: int = 20) -> np.ndarray:
    """Return the classes to show: all, or at most ``most`` at even steps."""
    shown = min(n_classes, most)
    return np.linspace(0, n_classes - 1, shown).round().astype(int)


def sample_sheet(
    images,
    labels,
    class_names,
    per_class: int = 6,
    captions=None,
    most: int = 20,
) -> Figure:
    """A row of images for each class, or for some of very many.

    Parameters
    ----------
    images : uint8 (N, H, W, 3)
    labels : classes 0 … C-1, (N,)
    class_names : their C names, written beside the rows
    per_class : images in a row. They are spread evenly over those of the
        class, since neighbours are often copies of one source.
    captions : a short text under each of the N images, or None
    most : rows. Of more classes, so many are shown at even steps, and the
        title says so.
    """
    labels = np.asarray(labels)
    classes = some_classes(len(class_names), most)
    side = 1.15
    height = side if captions is None else side + 0.2
    size = per_class * side + 0.9, len(classes) * height
    fig, axes = new_sheet(*size, len(classes), per_class)
    if len(classes) < len(class_names):
        fig.suptitle(f"{len(classes)} of {len(class_names)} classes")
    for line, label in zip(axes, classes, strict=True):
        members = np.flatnonzero(labels == label)
        shown = min(per_class, len(members))
        spread = np.linspace(0, len(members) - 1, shown).round().astype(int)
        for ax, n in zip(line, members[spread], strict=False):
            ax.imshow(images[n])
            if captions is not None:
                ax.set_xlabel(str(captions[n]), fontsize=8, labelpad=2)
        _beside(line[0], class_names[label])
    return fig


def image_grid(
    images, titles, columns: int = 6, width: float | None = None
) -> Figure:
    """Images with a short title each, in rows of ``columns``.

    Parameters
    ----------
    images : a sequence of (H, W, 3) or (H, W), 0 to 255, as wide and high as
        the first; those without colours are shown in greys
    titles : one text each, perhaps of two lines
    width : in inches; by default as fits the number of columns
    """
    if len(images) != len(titles) or not len(images):
        got = f"{len(images)} images and {len(titles)} titles"
        raise ValueError(f"one title an image: got {got}")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    lines = max(str(title).count("\n") + 1 for title in titles)
    side = width / columns if width else min(8 / columns, 2.2)
    high = side * images[0].shape[0] / images[0].shape[1]
    size = columns * side, rows * (high + 0.17 * lines)
    fig, axes = new_sheet(*size, rows, columns)
    for ax, image, title in zip(axes.ravel(), images, titles, strict=False):
        ax.imshow(image, **_GREYS)
        ax.set_title(str(title), fontsize=8, loc="center", pad=3)
    return fig


def circles_on(
    image: np.ndarray, title: str, circles: dict[str, pd.DataFrame]
) -> Figure:
    """Circles of several kinds drawn on a photograph.

    Parameters
    ----------
    image : uint8 (H, W, 3) or (H, W)
    circles : by the kind's name, "found", "false" (solid) or "missed"
        (dashed), tables with the columns x, y and radius in pixels
    """
    fig = image_grid([image], [title], width=9.6)
    handles = []
    for kind, table in circles.items():
        colour, dashes = _CIRCLES[kind]
        _draw_circles(fig.axes[0], table, colour, dashes)
        handles.append(Line2D([], [], color=colour, ls=dashes, label=kind))
    legend_below(fig, handles)
    return fig


def map_sheet(
    images: np.ndarray,
    maps: dict[str, np.ndarray],
    titles: list[str],
    lesions: list[pd.DataFrame] | None = None,
) -> Figure:
    """Images in a row and, below, maps laid over them, a row a kind.

    Parameters
    ----------
    images : uint8 (N, H, H, 3)
    maps : what stands beside a row, to float (N, h, w), each scaled from its
        own lowest to its own highest value; a flat one stays dark
    titles : above the images, one text each
    lesions : a table an image, with x, y and radius as shares of its side,
        drawn as circles in the first row; None where nobody knows
    """
    side = images.shape[1]
    extent = (0, side, side, 0)
    rows = len(maps) + 1
    size = 1.35 * len(images) + 1.3, 1.35 * rows + 0.5
    fig, axes = new_sheet(*size, rows, len(images))
    for n, ax in enumerate(axes[0]):
        ax.imshow(images[n], extent=extent)
        ax.set_title(titles[n], fontsize=8, loc="center", pad=3)
        if lesions is not None:
            # Twice the radius: a ring round a lesion, not upon it.
            rings = lesions[n].assign(radius=2 * lesions[n]["radius"]) * side
            _draw_circles(ax, rings, "#0B3DFF", "-", width=0.7)
    _beside(axes[0, 0], "image" if lesions is None else "true\nlesions")
    look = {"cmap": "inferno", "vmin": 0, "vmax": 1, "alpha": 0.6}
    for line, (name, own) in zip(axes[1:], maps.items(), strict=True):
        for ax, image, values in zip(line, images, own, strict=True):
            ax.imshow(image.mean(axis=2), extent=extent, **_GREYS)
            low, high = np.min(values), np.max(values)
            shown = (values - low) / ((high - low) or 1)
            ax.imshow(shown, extent=extent, **look)
        _beside(line[0], name)
    return fig


def _beside(ax, text: str) -> None:
    ax.set_ylabel(
        text, rotation=0, ha="right", va="center", labelpad=6, color=INK
    )


def _draw_circles(ax, table, colour, dashes, width=1.1) -> None:
    across = 2 * table["radius"].to_numpy(float)
    circles = EllipseCollection(
        across,
        across,
        np.zeros(len(table)),
        units="xy",
        offsets=table[["x", "y"]].to_numpy(float),
        offset_transform=ax.transData,
        facecolors="none",
        edgecolors=colour,
        linestyles=dashes,
        linewidths=width,
    )
    ax.add_collection(circles)
