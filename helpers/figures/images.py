"""Sheets of pictures: what the classes look like, and single cases."""

import numpy as np
from matplotlib.figure import Figure

from helpers.figures.style import new_sheet

MOST_CLASSES = 20
"""Rows of a sheet: with more, no picture could be made out."""

_SIDE = 1.15
"""Inches that one picture takes."""


def some_classes(n_classes: int, most: int = MOST_CLASSES) -> np.ndarray:
    """Return the classes to show: all, or at most ``most`` at even steps."""
    shown = min(n_classes, most)
    return np.linspace(0, n_classes - 1, shown).round().astype(int)


def sample_sheet(
    images,
    labels,
    class_names,
    per_class: int = 6,
    captions=None,
    most: int = MOST_CLASSES,
) -> Figure:
    """A row of pictures for each class, or for some of very many.

    Args:
        images: uint8 (N, H, W, 3).
        labels: classes 0 … C-1, (N,).
        class_names: their C names, written beside the rows.
        per_class: pictures in a row. They are spread evenly over those of
            the class, since neighbours are often copies of one source.
        captions: a short text under each of the N pictures, or None.
        most: rows. Of more classes, so many are shown at even steps, and
            the title says so.
    """
    labels = np.asarray(labels)
    classes = some_classes(len(class_names), most)
    height = _SIDE if captions is None else _SIDE + 0.2
    fig = new_sheet(per_class * _SIDE + 0.9, len(classes) * height)
    axes = fig.subplots(len(classes), per_class, squeeze=False)
    if len(classes) < len(class_names):
        fig.suptitle(f"{len(classes)} of {len(class_names)} classes")
    for line, label in zip(axes, classes, strict=True):
        members = np.flatnonzero(labels == label)
        shown = min(per_class, len(members))
        spread = np.linspace(0, len(members) - 1, shown).round().astype(int)
        for ax, n in zip(line, members[spread], strict=False):
            _show(ax, images[n])
            if captions is not None:
                ax.set_xlabel(str(captions[n]), fontsize=8, labelpad=2)
        for ax in line[shown:]:
            _show(ax, None)
        line[0].set_ylabel(
            class_names[label], rotation=0, ha="right", va="center", labelpad=6
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
