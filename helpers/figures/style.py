"""The look of every figure, and how one is shown and saved.

A function of this room returns a figure that pyplot does not know of, so that
a notebook shows it exactly once, where it is the value of the last line::

    fig = figures.class_counts(counts, names)
    figures.save(fig, workspace, "class_counts")

Titles describe and never name a winner.
"""

import io

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from helpers.paths import atomic_write
from helpers.session import Workspace

INK = "#333333"
"""Colour of text, of axes and of what belongs to no method."""
QUIET = "#7F7F7F"
"""Colour of reference lines and of what stands in the background."""
MINUS = "\N{MINUS SIGN}"
SHOWN_DPI = 100
SAVED_DPI = 120
# Inches of a panel, by the panels in a row.
_SIZES, _SMALL = {1: (6.6, 3.6), 2: (4.4, 3.3), 3: (3.6, 3.1)}, (2.5, 2.3)
_SMALLEST = ("#C2185B", "#F39C12")
_GREY_LINES = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color")
_SMALL_TEXTS = ("xtick.labelsize", "ytick.labelsize", "legend.fontsize")
_STYLE = {
    **dict.fromkeys(_GREY_LINES, INK),
    **dict.fromkeys(_SMALL_TEXTS, 9),
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "axes.titlelocation": "left",
    "axes.edgecolor": "#BFBFBF",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#E6E6E6",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


class Chart(Figure):
    """A figure of lines and areas, which Jupyter shows as a small PNG."""

    def _repr_png_(self) -> bytes:
        return _packed(self, SHOWN_DPI)


class Sheet(Figure):
    """A figure of images, which Jupyter shows as a JPEG.

    Skin and blood in few colours lose the very redness one looks for, and a
    PNG of all the colours would be seven times as large.
    """

    def _repr_jpeg_(self) -> bytes:
        return _packed(self, SHOWN_DPI)


def new_chart(width: float, height: float, kind=Chart, **look) -> Figure:
    """An empty chart in the workbook's style; sizes in inches."""
    sns.set_theme(style="whitegrid", palette="colorblind", rc=_STYLE)
    fig = kind(figsize=(width, height), **{"layout": "constrained"} | look)
    fig.get_layout_engine().set(w_pad=0.08, h_pad=0.06)
    return fig


def new_sheet(width, height, rows: int, columns: int):
    """A sheet of images close together, and its empty axes (rows, columns)."""
    fig = new_chart(width, height, Sheet, layout="compressed")
    fig.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)
    axes = fig.subplots(rows, columns, squeeze=False)
    for ax in axes.ravel():
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        ax.grid(False)
    return fig, axes


def new_panels(
    names, title="", *, columns=3, size=None, below=0.6, **shared
) -> tuple[Chart, np.ndarray]:
    """A chart with one panel a name, in rows, and its axes (N,).

    names : what stands above each panel
    columns : at most so many in a row; four panels make two rows of two
    size : width and height of a panel, in inches; default, as its row has room
    below : inches that are added for a legend
    shared : for `Figure.subplots`, such as ``sharey=True``
    """
    names = list(names)
    columns = 2 if len(names) == 4 and columns == 3 else columns
    columns = min(columns, len(names))
    rows = -(-len(names) // columns)
    width, height = size or _SIZES.get(columns, _SMALL)
    fig = new_chart(width * columns, height * rows + below)
    if title:
        fig.suptitle(title, x=0.01, ha="left", fontsize=11)
    axes = fig.subplots(rows, columns, squeeze=False, **shared).ravel()
    for ax in axes[len(names) :]:
        ax.set_axis_off()
    for ax, name in zip(axes, names, strict=False):
        ax.set_title(name, loc="center", fontsize=10)
    return fig, axes[: len(names)]


def legend_below(fig: Figure, handles=None) -> None:
    """One legend under all panels, each label once, as wide as it fits."""
    if handles is None:
        labelled = [ax.get_legend_handles_labels()[0] for ax in fig.axes]
        handles = [handle for own in labelled for handle in own]
    shown = {handle.get_label(): handle for handle in handles}
    inches = [0.07 * len(label) + 0.6 for label in shown]
    width = fig.get_figwidth()
    one_row = sum(inches) <= width
    columns = len(shown) if one_row else max(1, int(width / max(inches)))
    where = {"loc": "outside lower center", "ncols": columns}
    fig.legend(shown.values(), shown, **where)


def rows_from_the_top(ax, labels) -> None:
    """Name the rows 0, 1, … of a horizontal chart, the first at the top."""
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.xaxis.set_major_locator(MaxNLocator(5))


def method_look(method: str) -> tuple[str, str]:
    """Label and colour of a method, the same in the whole workbook."""
    # Imported here because it brings Keras, whose start is not quiet; a
    # notebook's session starts it first.
    from helpers.methods.registry import METHODS

    return METHODS[method].label, METHODS[method].colour


def class_colours(names, counts) -> dict[str, tuple]:
    """The colour of each class, by its label "name (count)".

    Blue-greys, darker where there are more training images, but for the two
    smallest classes, which have the same two colours everywhere.
    """
    order = np.argsort(counts, kind="stable")
    shades = mpl.colormaps["bone"](np.linspace(0.8, 0.2, len(order) - 2))
    colours = dict(zip(order, [*_SMALLEST, *shades], strict=True))
    return {f"{names[c]} ({n})": colours[c] for c, n in enumerate(counts)}


def save(fig: Figure, workspace: Workspace, name: str) -> Figure:
    """Write ``FIGURES/NOTEBOOK_name.png`` (a sheet: .jpg), return fig."""
    suffix = "jpg" if isinstance(fig, Sheet) else "png"
    file = workspace.figures / f"{workspace.notebook}_{name}.{suffix}"
    atomic_write(file, _packed(fig, SAVED_DPI))
    return fig


def _packed(fig: Figure, dpi: int) -> bytes:
    file, packed = io.BytesIO(), io.BytesIO()
    fig.savefig(file, format="png", dpi=dpi)
    image = Image.open(file).convert("RGB")
    if isinstance(fig, Sheet):
        image.save(packed, format="JPEG", quality=88, subsampling=0)
    else:
        # A chart has few colours: this halves its size and shows nowhere.
        image = image.quantize(256, dither=Image.Dither.NONE)
        image.save(packed, format="PNG", optimize=True)
    return packed.getvalue()
