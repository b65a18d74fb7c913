"""Sheets of images: what the classes look like, single cases, maps."""

import numpy as np
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from helpers.figures.style import INK, legend_below, new_sheet

_GREYS = {"cmap": "gray", "vmin": 0, "vmax": 255}
# Of seaborn's "colorblind" palette.
_CIRCLES = {
    "found": {"color": "#029E73", "linestyle": "-"},
    "false": {"color": "#D55E00", "linestyle": "-"},
    "missed": {"color": "#0173B2", "linestyle": "--"},
}


def sample_sheet(
    images, labels, class_names, per_class: int = 6, captions=None
) -> Figure:
    """A row of images for each class, or for 20 of very many.

    ``images`` are uint8 (N, H, W, 3), ``labels`` classes 0 … C-1, (N,), whose
    names stand beside the rows. The ``per_class`` images of a row are spread
    evenly over those of the class, since neighbours are often copies of one
    source. ``captions`` are texts under each of the N images, or None.
    """
    classes = _even_steps(len(class_names), min(len(class_names), 20))
    side = 1.15
    height = side if captions is None else side + 0.2
    size = per_class * side + 0.9, len(classes) * height
    fig, axes = new_sheet(*size, len(classes), per_class)
    if len(classes) < len(class_names):
        fig.suptitle(f"{len(classes)} of {len(class_names)} classes")
    for line, label in zip(axes, classes, strict=True):
        members = np.flatnonzero(np.asarray(labels) == label)
        shown = _even_steps(len(members), min(per_class, len(members)))
        for ax, n in zip(line, members[shown], strict=False):
            ax.imshow(images[n])
            if captions is not None:
                ax.set_xlabel(str(captions[n]), fontsize=8, labelpad=2)
        _beside(line[0], class_names[label])
    return fig


def image_grid(images, titles, columns: int = 6, width=None) -> Figure:
    """Images with a short title each, in rows of ``columns``.

    ``images`` is a sequence of (H, W, 3) or, shown in greys, (H, W), 0 to
    255, as wide and high as the first. ``width`` is in inches; by default as
    fits the number of columns.
    """
    each = [*zip(images, titles, strict=True)]
    columns = min(columns, len(each))
    rows = -(-len(each) // columns)
    lines = max(str(title).count("\n") + 1 for title in titles)
    side = width / columns if width else min(8 / columns, 2.2)
    high = side * images[0].shape[0] / images[0].shape[1]
    size = columns * side, rows * (high + 0.17 * lines)
    fig, axes = new_sheet(*size, rows, columns)
    for ax, (image, title) in zip(axes.ravel(), each, strict=False):
        ax.imshow(image, **_GREYS)
        ax.set_title(str(title), fontsize=8, loc="center", pad=3)
    return fig


def circles_on(image, title: str, circles) -> Figure:
    """Circles drawn on a photograph, uint8 (H, W, 3) or (H, W).

    ``circles`` maps "found", "false" (solid) and "missed" (dashed) to tables
    with the columns x, y and radius in pixels.
    """
    fig = image_grid([image], [title], width=9.6)
    for kind, table in circles.items():
        _draw_circles(fig.axes[0], table, **_CIRCLES[kind])
    legend_below(
        fig, [Line2D([], [], label=k, **_CIRCLES[k]) for k in circles]
    )
    return fig


def map_sheet(images, maps, titles, lesions, label: str) -> Figure:
    """Images in a row and, below, maps laid over them, a row a kind.

    images, titles : uint8 (N, H, H, 3), and what stands above each
    maps : what stands beside a row, to float (N, h, w), all on one scale
    lesions : a table an image, with x, y and radius as shares of its side,
        drawn as circles in the first row
    label : of the bar of the maps' colours
    """
    side = images.shape[1]
    extent = (0, side, side, 0)
    rows = len(maps) + 1
    size = 1.35 * len(images) + 2, 1.35 * rows + 0.5
    fig, axes = new_sheet(*size, rows, len(images))
    for n, ax in enumerate(axes[0]):
        ax.imshow(images[n], extent=extent)
        ax.set_title(titles[n], fontsize=8, loc="center", pad=3)
        # Twice the radius: a ring round a lesion, not upon it.
        rings = lesions[n].assign(radius=2 * lesions[n]["radius"]) * side
        _draw_circles(ax, rings, "#0B3DFF", linewidth=0.7)
    _beside(axes[0, 0], "true\nlesions")
    each = np.concatenate([np.ravel(own) for own in maps.values()])
    look = {"cmap": "inferno", "vmin": each.min(), "vmax": each.max()}
    for line, (name, own) in zip(axes[1:], maps.items(), strict=True):
        for ax, image, values in zip(line, images, own, strict=True):
            ax.imshow(image.mean(axis=2), extent=extent, **_GREYS)
            shown = ax.imshow(values, extent=extent, alpha=0.6, **look)
        _beside(line[0], name)
    fig.colorbar(shown, ax=axes[1:], label=label)
    return fig


def _even_steps(n: int, shown: int) -> np.ndarray:
    return np.linspace(0, n - 1, shown).round().astype(int)


def _beside(ax, text: str) -> None:
    ax.set_ylabel(
        text, rotation=0, ha="right", va="center", labelpad=6, color=INK
    )


def _draw_circles(ax, table, color, linewidth=1.1, linestyle="-") -> None:
    each = table[["x", "y", "radius"]].to_numpy(float)
    circles = PatchCollection(
        [Circle((x, y), radius) for x, y, radius in each],
        facecolors="none",
        edgecolors=color,
        linewidths=linewidth,
        linestyles=linestyle,
    )
    ax.add_collection(circles, autolim=False)
