"""The look of every figure, and how one is shown and saved.

Convention: a plot of `figures.charts` or `figures.images` returns a figure
that pyplot does not know of, so that a notebook shows it exactly once,
where it is the value of the cell's last line::

    fig = figures.class_counts(counts, names)
    figures.save(fig, book, "class_counts")

`save` writes the figure into the run's folder and returns it. There and in
the notebook a chart is a PNG, and a sheet of pictures a JPEG.
"""

import io

import matplotlib as mpl
import seaborn as sns
from matplotlib.figure import Figure
from PIL import Image

from helpers.paths import atomic_write
from helpers.session import Workspace

INK = "#333333"
"""Colour of text, of axes and of what belongs to no method."""
QUIET = "#7F7F7F"
"""Colour of reference lines and of what stands in the background."""
SHOWN_DPI = 100
SAVED_DPI = 120


def style() -> None:
    """Set the book's style; every plot of the book does so by itself.

    Call it before drawing with matplotlib by hand.
    """
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind")
    mpl.rcParams.update(
        {
            "figure.dpi": SHOWN_DPI,
            "font.size": 10,
            "axes.titlesize": 11,
            "axes.labelsize": 10,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "legend.fontsize": 9,
            "legend.title_fontsize": 9,
            "legend.frameon": False,
            "text.color": INK,
            "axes.labelcolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "axes.edgecolor": "#BFBFBF",
            "grid.color": "#E6E6E6",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlelocation": "left",
            "lines.linewidth": 1.8,
        }
    )


class Chart(Figure):
    """A figure of lines and areas, which Jupyter shows as a small PNG."""

    def _repr_png_(self) -> bytes:
        return _png(self, SHOWN_DPI)


class Sheet(Figure):
    """A figure of pictures, which Jupyter shows as a JPEG.

    Skin and blood in few colours lose the very redness one looks for, and a
    PNG of all the colours would be seven times as large.
    """

    def _repr_jpeg_(self) -> bytes:
        return _jpeg(self, SHOWN_DPI)


def new_chart(width: float, height: float) -> Chart:
    """An empty chart in the book's style; width and height in inches."""
    style()
    fig = Chart(figsize=(width, height), layout="constrained")
    fig.get_layout_engine().set(w_pad=0.08, h_pad=0.06)
    return fig


def new_sheet(width: float, height: float) -> Sheet:
    """An empty sheet, its pictures close together; sizes in inches."""
    style()
    fig = Sheet(figsize=(width, height), layout="compressed")
    fig.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)
    return fig


def save(fig: Figure, workspace: Workspace, name: str) -> Figure:
    """Write ``FIGURES/NOTEBOOK_name.png`` whole, and return the figure.

    A sheet of pictures becomes a ``.jpg``.
    """
    suffix, packed = (
        ("jpg", _jpeg) if isinstance(fig, Sheet) else ("png", _png)
    )
    file = workspace.figures / f"{workspace.notebook}_{name}.{suffix}"
    atomic_write(file, packed(fig, SAVED_DPI))
    return fig


def _drawn(fig: Figure, dpi: int) -> Image.Image:
    drawn = io.BytesIO()
    fig.savefig(drawn, format="png", dpi=dpi)
    with Image.open(drawn) as picture:
        return picture.convert("RGB")


def _png(fig: Figure, dpi: int) -> bytes:
    # A chart has few colours: this halves its size and shows nowhere.
    picture = _drawn(fig, dpi).quantize(256, dither=Image.Dither.NONE)
    packed = io.BytesIO()
    picture.save(packed, format="PNG", optimize=True)
    return packed.getvalue()


def _jpeg(fig: Figure, dpi: int) -> bytes:
    packed = io.BytesIO()
    _drawn(fig, dpi).save(packed, format="JPEG", quality=88, subsampling=0)
    return packed.getvalue()


def method_look(method: str) -> tuple[str, str]:
    """Label and colour of a method, the same in the whole book."""
    # Imported here because it brings Keras, whose start is not quiet; a
    # notebook's session starts it first.
    from helpers.methods.registry import METHODS

    if method not in METHODS:
        raise ValueError(
            f"no method {method!r}; there are {', '.join(METHODS)}"
        )
    return METHODS[method].label, METHODS[method].colour
