"""Sheets of pictures: what the classes look like, and single cases."""

import numpy as np
from matplotlib.figure import Figure

from helpers.drawing import new_sheet

_SIDE = 1.15
"""Inches that one picture takes."""


def sample_sheet(
    images, labels, class_names, per_class: int = 6, captions=None
) -> Figure:
    """A row of pictures for each class.

    Args:
        images: uint8 (N, H, W, 3).
        labels: classes 0 … C-1, (N,).
        class_names: their C names, written beside the rows.
        per_class: pictures in a row. They are spread evenly over those of
            the class, since neighbours are often copies of one source.
        captions: a short text under each of the N pictures, or None.
    """
    labels = np.asarray(labels)
    n_classes = len(class_names)
    height = _SIDE if captions is None else _SIDE + 0.2
    fig = new_sheet(per_class * _SIDE + 0.9, n_classes * height)
    axes = fig.subplots(n_classes, per_class, squeeze=False)
    for row, (line, name) in enumerate(zip(axes, class_names, strict=True)):
        members = np.flatnonzero(labels == row)
        shown = min(per_class, len(members))
        spread = np.linspace(0, len(members) - 1, shown).round().astype(int)
        for ax, n in zip(line, members[spread], strict=False):
            _show(ax, images[n])
            if captions is not None:
                ax.set_xlabel(str(captions[n]), fontsize=8, labelpad=2)
        for ax in line[shown:]:
            _show(ax, None)
        line[0].set_ylabel(
            name, rotation=0, ha="right", va="center", labelpad=6
        )
    return fig


def picture_grid(images, titles, columns: int = 6) -> Figure:
    """Pictures with a short title each, in rows of ``columns``.

    ``images`` is a sequence of (H, W, 3) uint8, ``titles`` one text each;
    a title may have two lines.
    """
    if len(images) != len(titles) or not len(images):
        raise ValueError(
            f"one title a picture: got {len(images)} pictures and "
            f"{len(titles)} titles"
        )
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    lines = max(str(title).count("\n") + 1 for title in titles)
    side = min(8 / columns, 2.2)
    fig = new_sheet(columns * side, rows * (side + 0.17 * lines))
    axes = fig.subplots(rows, columns, squeeze=False).ravel()
    for ax, image, title in zip(axes, images, titles, strict=False):
        _show(ax, image)
        ax.set_title(str(title), fontsize=8, loc="center", pad=3)
    for ax in axes[len(images) :]:
        _show(ax, None)
    return fig


def _show(ax, image) -> None:
    """One picture without axes; None leaves the place empty."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.grid(False)
    if image is not None:
        ax.imshow(image)
