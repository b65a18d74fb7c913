"""Every plot draws its numbers, cuts no text and raises no warning."""

import io

import numpy as np
import pandas as pd
import pytest
from drawn import assert_whole_and_quiet
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from PIL import Image

from helpers.figures import charts as figures
from helpers.figures import style as drawing
from helpers.methods.registry import METHODS
from helpers.session import Workspace

A, B = "cross_entropy", "weighted_cross_entropy"
CLASSES = ["Blackheads", "Cyst", "Papules", "Pustules", "Whiteheads"]
COUNTS = np.array([1240, 1030, 1032, 1006, 299])


def _history(methods=(A, B)):
    frame = pd.MultiIndex.from_product(
        [methods, (0, 1, 2), range(1, 13), ("train", "val"), ("loss", "f1")],
        names=["method", "seed", "epoch", "part", "metric"],
    ).to_frame(index=False)
    return frame.assign(value=1 / (frame["epoch"] + frame["seed"]))


def _change():
    frame = pd.MultiIndex.from_product(
        [CLASSES, (A, B), ("measured", "published")],
        names=["class", "method", "origin"],
    ).to_frame(index=False)
    frame["value"] = np.linspace(0.6, 0.9, len(frame))
    width = np.where(frame["origin"] == "measured", 0.05, np.nan)
    return frame.assign(
        low=frame["value"] - width, high=frame["value"] + width
    )


def _factorial():
    runs = pd.DataFrame(
        {
            "split": ["published", "by source"] * 4,
            "method": [A, A, B, B] * 2,
            "value": [0.9, 0.5, 0.92, 0.52, 0.88, 0.48, 0.9, 0.5],
        }
    )
    table = runs.groupby(["split", "method"], sort=False)["value"].mean()
    table = table.rename("mean").reset_index()
    return table.assign(low=table["mean"] - 0.05, high=np.nan), runs


def _intervals():
    return pd.DataFrame(
        {
            "label": ["Macro-F1", "F1 of Whiteheads"],
            "delta": [0.012, -0.02],
            "low": [-0.01, np.nan],
            "high": [0.03, np.nan],
        }
    )


def _pictures(n):
    rng = np.random.default_rng(0)
    return rng.integers(256, size=(n, 20, 20, 3)).astype(np.uint8)


PLOTS = {
    "class_counts": lambda: figures.class_counts(COUNTS, CLASSES),
    "weights_bar": lambda: figures.weights_bar(
        COUNTS.sum() / 5 / COUNTS, CLASSES
    ),
    "gradient_share": lambda: figures.gradient_share(
        {"no weights": COUNTS, "weights of eq. (1)": np.ones(5)}, CLASSES
    ),
    "histories": lambda: figures.histories(_history(), ("loss", "f1")),
    "histories, long labels": lambda: figures.histories(
        _history(sorted(METHODS, key=lambda m: len(METHODS[m].label))[-4:]),
        ("loss", "f1"),
    ),
    "confusion_pair": lambda: figures.confusion_pair(
        {"A": np.diag(COUNTS), "B": np.full((5, 5), 0.5)}, CLASSES
    ),
    "per_class_change": lambda: figures.per_class_change(_change()),
    "factorial": lambda: figures.factorial(*_factorial()),
    "interval_plot": lambda: figures.interval_plot(_intervals()),
    "sample_sheet": lambda: figures.sample_sheet(
        _pictures(20),
        np.repeat(np.arange(5), [8, 6, 3, 2, 1]),
        CLASSES,
        captions=[f"source {i}" for i in range(20)],
    ),
    "picture_grid": lambda: figures.picture_grid(
        _pictures(8), ["true Papules\nsaid Pustules 0.99"] * 8
    ),
}


def test_every_plot_is_tested():
    offered = set(figures.__all__) - {"save", "style"}
    assert offered == {name.split(",")[0] for name in PLOTS}


@pytest.mark.parametrize("name", PLOTS)
def test_plot_is_whole_and_quiet(name, monkeypatch):
    slanted = "confusion" in name
    assert_whole_and_quiet(PLOTS[name], monkeypatch, slanted)


def test_jupyter_shows_charts_as_png_and_sheets_as_jpeg():
    chart, sheet = PLOTS["class_counts"](), PLOTS["sample_sheet"]()
    with Image.open(io.BytesIO(chart._repr_png_())) as shown:
        assert (shown.format, shown.mode, shown.width) == ("PNG", "P", 700)
    with Image.open(io.BytesIO(sheet._repr_jpeg_())) as shown:
        assert (shown.format, shown.width) == ("JPEG", 780)
    assert not hasattr(chart, "_repr_jpeg_")
    assert not hasattr(sheet, "_repr_png_")


def test_sheets_keep_their_colours(tmp_path):
    """A sheet is saved as a JPEG that is close to what was drawn."""
    shades = np.linspace(0, 255, 20 * 20).reshape(20, 20, 1)
    red = (shades * [1, 0.6, 0.5]).astype(np.uint8)
    fig = figures.picture_grid([red], ["red"])
    figures.save(fig, Workspace("03", "smoke", tmp_path), "red")
    saved = np.asarray(Image.open(tmp_path / "figures" / "03_red.jpg"))
    drawn = np.asarray(drawing._drawn(fig, drawing.SAVED_DPI))
    assert saved.shape == drawn.shape
    assert np.abs(saved.astype(int) - drawn).mean() < 2


def test_save_writes_under_the_notebooks_number(tmp_path):
    book = Workspace("03", "smoke", tmp_path)
    fig = PLOTS["weights_bar"]()
    assert figures.save(fig, book, "weights") is fig
    assert [p.name for p in (tmp_path / "figures").iterdir()] == [
        "03_weights.png"
    ]
    with Image.open(tmp_path / "figures" / "03_weights.png") as saved:
        assert saved.size == (840, 336)  # 7 x 2.8 inches at 120 dpi


def test_class_counts_writes_numbers_and_shares():
    (ax,) = figures.class_counts(COUNTS, CLASSES).axes
    assert [bar.get_width() for bar in ax.patches] == COUNTS.tolist()
    assert ax.texts[0].get_text() == "1,240 (26.9%)"


def test_gradient_shares_add_up_to_one():
    (ax,) = PLOTS["gradient_share"]().axes
    widths = np.array([bar.get_width() for bar in ax.patches]).reshape(2, 5)
    np.testing.assert_allclose(widths[0], COUNTS / COUNTS.sum())
    np.testing.assert_allclose(widths[1], 0.2)


def test_histories_dash_validation_and_colour_methods():
    fig = figures.histories(_history(), ("loss",))
    lines = fig.axes[0].get_lines()
    assert len(lines) == 2 * 2 * (3 + 1)  # methods, parts, seeds and mean
    thick = [line for line in lines if line.get_linewidth() == 2]
    looks = {(line.get_color(), line.get_linestyle()) for line in thick}
    colours = {METHODS[m].colour for m in (A, B)}
    assert looks == {(c, ls) for c in colours for ls in ("-", "--")}
    expected = np.mean([1 / (1 + seed) for seed in range(3)])
    assert all(
        line.get_ydata()[0] == pytest.approx(expected) for line in thick
    )
    with pytest.raises(ValueError, match="no rows of the metric 'auroc'"):
        figures.histories(_history(), ("auroc",))


def test_confusions_write_counts_and_colour_shares():
    table = np.array([[8, 2, 0], [3, 1, 0], [0, 0, 0]])
    fig = figures.confusion_pair({"A": table, "mean": table / 4}, list("xyz"))
    first, second = fig.axes[:2]
    assert "".join(t.get_text() for t in first.texts) == "820310000"
    assert [t.get_text() for t in second.texts][:2] == ["2.0", "0.5"]
    shares = first.images[0].get_array()
    np.testing.assert_allclose(
        shares, [[0.8, 0.2, 0], [0.75, 0.25, 0], [0, 0, 0]]
    )


def test_per_class_change_places_values_and_intervals():
    table = _change()
    (ax,) = figures.per_class_change(table).axes
    dots = [x for x in ax.get_lines() if x.get_marker() in ("o", "D")]
    drawn = sorted(float(np.ravel(dot.get_xdata())[0]) for dot in dots)
    np.testing.assert_allclose(drawn, table["value"])
    filled = [d for d in dots if d.get_marker() == "o"]
    assert {to_hex(d.get_markerfacecolor()) for d in filled} == {
        METHODS[m].colour.lower() for m in (A, B)
    }


def test_factorial_draws_every_run():
    table, runs = _factorial()
    (ax,) = figures.factorial(table, runs).axes
    small = [x for x in ax.get_lines() if x.get_markersize() == 3.5]
    drawn = np.concatenate([line.get_ydata() for line in small])
    np.testing.assert_allclose(np.sort(drawn), np.sort(runs["value"]))
    assert [t.get_text() for t in ax.get_xticklabels()] == [
        "published",
        "by source",
    ]


def test_intervals_are_written_out():
    fig = PLOTS["interval_plot"]()
    fig.canvas.draw()
    texts = {t.get_text() for t in fig.findobj(plt.Text)}
    assert "+0.012 [\N{MINUS SIGN}0.010, +0.030]" in texts
    assert "\N{MINUS SIGN}0.020" in texts


def test_sample_sheet_shows_each_class_in_its_row():
    labels = np.repeat([0, 1], [9, 2])
    images = np.zeros((11, 4, 4, 3), np.uint8)
    images[..., 0] = np.arange(11)[:, None, None]
    fig = figures.sample_sheet(images, labels, ["x", "y"], per_class=3)
    shown = [
        ax.images[0].get_array()[0, 0, 0] if ax.images else None
        for ax in fig.axes
    ]
    assert shown == [0, 4, 8, 9, 10, None]


def test_sample_sheet_of_very_many_classes_is_bounded():
    labels = np.arange(200)
    images = np.zeros((200, 4, 4, 3), np.uint8)
    images[..., 0] = labels[:, None, None]
    names = [f"class {label}" for label in labels]
    fig = figures.sample_sheet(images, labels, names, per_class=2, most=5)
    assert len(fig.axes) == 10
    assert fig.get_suptitle() == "5 of 200 classes"
    for ax, label in zip(fig.axes[::2], [0, 50, 100, 149, 199], strict=True):
        assert ax.get_ylabel() == f"class {label}"
        assert ax.images[0].get_array()[0, 0, 0] == label
    whole = figures.sample_sheet(images[:3], labels[:3], names[:3], most=3)
    assert whole.get_suptitle() == ""


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="no method 'focal'"):
        drawing.method_look("focal")
    with pytest.raises(ValueError, match="2 pictures and 1 titles"):
        figures.picture_grid(_pictures(2), ["one"])
