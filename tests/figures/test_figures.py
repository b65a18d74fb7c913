"""Every figure draws its numbers, cuts no text and raises no warning."""

import io
import warnings
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import to_hex
from matplotlib.transforms import Bbox
from PIL import Image

from helpers import figures
from helpers.figures import style
from helpers.methods.registry import METHODS, PAPER_LOSSES
from helpers.session import Workspace

A, B = "cross_entropy", "weighted_cross_entropy"
LOSSES = list(PAPER_LOSSES)
FOUR = [A, "focal_a1_g2", "cefl_g2", "cefl2_g2"]
LONGEST = sorted(METHODS, key=lambda m: len(METHODS[m].label))[-4:]
CLASSES = ["Blackheads", "Cyst", "Papules", "Pustules", "Whiteheads"]
COUNTS = np.array([1240, 1030, 1032, 1006, 299])
OF_CLASSES = figures.class_colours(CLASSES, COUNTS)
MINUS = "\N{MINUS SIGN}"
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(256, size=(20, 20, 30, 3)).astype(np.uint8)
SQUARE = IMAGES[:, :, :20]
SHARES = RNG.dirichlet(COUNTS / 100, 20)
STACKED = pd.DataFrame(SHARES, columns=list(OF_CLASSES)).iloc[:, ::-1]
P = np.linspace(0.01, 0.99, 50)
FOCAL = {
    f"focal_a1_g{gamma:g}": -((1 - P) ** gamma) * np.log(P)
    for gamma in (0.5, 1, 2, 5)
}
PANELS = {
    "Loss": {A: -np.log(P), **FOCAL},
    "Ratio": {"easy / hard": P / (1 - P), "none": np.ones(50)},
}


def grid(start=0.5, stop=0.9, **columns):
    """A table with every combination of the columns, and rising values."""
    index = pd.MultiIndex.from_product(columns.values(), names=columns)
    table = index.to_frame(index=False)
    return table.assign(value=np.linspace(start, stop, len(table)))


def with_ends(table, value="value"):
    return table.assign(low=table[value] - 0.05, high=table[value] + 0.05)


EPOCHS = {"method": (A, B), "seed": range(3), "epoch": range(1, 9)}
METRICS = ("loss", "accuracy")
HISTORY = grid(**EPOCHS, part=("train", "val"), metric=METRICS)
EPOCHS = {"method": LONGEST, "seed": [0], "epoch": [1, 2]}
BY_SPLIT = grid(**EPOCHS, part=("train", "test"), split=("ρ = 10", "ρ = 50"))
BY_SPLIT = BY_SPLIT.query("split != 'ρ = 10' or part == 'test'")
SCORES = pd.DataFrame({"method": LOSSES, "mean": np.linspace(0.7, 0.8, 15)})
SCORES = with_ends(SCORES, "mean")
EFFECTS = pd.DataFrame(
    [["Macro-F1", 0.012, -0.01, 0.03], ["F1 of a", -0.02, np.nan, np.nan]],
    columns=["label", "delta", "low", "high"],
)
NETWORKS = grid(network=[f"ResNet-{n}" for n in (18, 34, 50)], method=FOUR)
NETWORKS = NETWORKS.pivot(index="network", columns="method")["value"][FOUR]
NETWORKS.iloc[1, 3] = np.nan
RHO = [37.0, 2, 8]
GAINS = [
    grid(panel=["Published"], label=["A", "B"], rho=RHO),
    with_ends(grid(panel=["Measured"], label=["A"], rho=RHO)),
]
BLOCKS = ["block 4", "block 3", "block 5"]
DEPTHS = grid(
    dataset=["caltech PART", "ILSVRC PART1", "ILSVRC PART2"],
    network=BLOCKS,
    method=[A, B, "over_sampling"],
    seed=range(5),
)
CONFUSION = np.array([[8, 2, 0], [3, 1, 0], [0, 0, 0]])
CIRCLES = pd.DataFrame({"x": [10.0, 20], "y": [5.0, 15], "radius": [4.0, 6]})
FOUND = {"found": CIRCLES, "false": CIRCLES[:1], "missed": CIRCLES[:0]}
MAPS = {
    "attention": RNG.random((5, 7, 7)),
    "Grad-CAM": np.zeros((5, 7, 7)),
    "attention,\nweights\nshuffled": RNG.random((5, 14, 14)),
}
SPOTS = pd.DataFrame({"x": [0.25, 0.5], "y": [0.5, 0.75], "radius": 0.05})
TITLES = ["very severe →\nvery severe"] * 5


def given(*arguments, **options):
    return arguments, options


# What is drawn, to the arguments of the function that is its first word.
BESIDE = pd.DataFrame(
    [
        ("a", "published", 0.05, np.nan, np.nan, "within"),
        ("b", "published", 0.02, np.nan, np.nan, "outside"),
        ("a", "reference", 0.04, 0.03, 0.06, "within"),
        ("b", "reference", -0.01, -0.02, 0.01, "outside"),
    ],
    columns=["label", "side", "delta", "low", "high", "status"],
)
DRAWN = {
    "class_counts": given(COUNTS, CLASSES),
    "histories": given(HISTORY, "Training history"),
    "histories, long labels": given(BY_SPLIT, "History", "split", "Accuracy"),
    "curves": given(PANELS, P, "Losses", "p", mark=0.5),
    "curves, four panels": given(dict.fromkeys("abcd", {"head": range(20)})),
    "curves, of tables": given(
        {f"set {k}": pd.DataFrame({"f1": P}) + k for k in range(8)},
        mark=3,
        columns=4,
    ),
    "curves, of networks": given(
        {"Crops": NETWORKS, "Mushrooms": NETWORKS}, markers=True
    ),
    "curves, of classes": given(
        {"Weights": dict(zip(OF_CLASSES, SHARES[:4].T, strict=True))},
        [1, 8, 32, 381],
        colours=OF_CLASSES,
        log_x=True,
    ),
    "curves, stacked": given(
        {f"Loss balance, totals: {k}": STACKED for k in range(6)},
        range(1, 21),
        colours=OF_CLASSES,
        stacked=True,
        sharey=True,
    ),
    "scores_over": given(
        DEPTHS, "network", "method", "Title", panel="dataset"
    ),
    "scores_over, gains": given(
        *(pd.concat(GAINS), "rho", "label", "Title", "ρ"),
        panel="panel",
        log_x=True,
        zero=True,
    ),
    "interval_plot": given(
        EFFECTS, "Two methods", f"Difference (B {MINUS} A)"
    ),
    "beside_plot": given(BESIDE, "T", "Gain"),
    "interval_plot, of nothing": given(EFFECTS[:0], "T", "Difference"),
    "dot_plot": given({"ρ = 10": SCORES, "b": SCORES.assign(low=np.nan)}, "T"),
    "confusion_matrices": given(
        {"A": CONFUSION, "B": CONFUSION / 4}, ["mild", "moderate", "dire"], "T"
    ),
    "confusion_matrices, four": given(
        {METHODS[m].label: np.eye(5) for m in LONGEST}, CLASSES, "T" * 60
    ),
    "sample_sheet": given(
        SQUARE,
        np.repeat(np.arange(5), [8, 6, 3, 2, 1]),
        CLASSES,
        captions=[f"source {i}" for i in range(20)],
    ),
    "image_grid": given(SQUARE[:8], ["true Papules\nsaid Pustules 0.99"] * 8),
    "image_grid, wide": given(
        [IMAGES[0], IMAGES[0, :, :, 0]], ["colours", "greys"], width=9.6
    ),
    "circles_on": given(IMAGES[0], "one", FOUND),
    "map_sheet": given(SQUARE[:5], MAPS, TITLES, [SPOTS] * 5, "Gate"),
}


def drawn(name):
    arguments, options = DRAWN[name]
    return getattr(figures, name.split(",")[0])(*arguments, **options)


def test_every_figure_is_tested():
    others = {"class_colours", "legend_below", "new_chart", "new_panels"}
    others |= {"explore", "save"}
    offered = {name for name, one in vars(figures).items() if callable(one)}
    assert offered - others == {name.split(",")[0] for name in DRAWN}


@pytest.mark.parametrize("name", DRAWN)
def test_figure_is_whole_and_quiet(name, monkeypatch):
    """No warning, no text cut off or upon another, not kept by pyplot."""
    texts, draw = {}, plt.Text.draw

    def noted(text, renderer):
        # Ticks beyond the axes are never drawn and do not count.
        if text.get_visible() and text.get_text().strip():
            texts[id(text)] = text
        draw(text, renderer)

    monkeypatch.setattr(plt.Text, "draw", noted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        canvas = FigureCanvasAgg(drawn(name))
        canvas.draw()
    assert not plt.get_fignums(), "pyplot would show it once more"
    width, height = canvas.get_width_height()
    boxes = [(t.get_text(), t.get_window_extent()) for t in texts.values()]
    assert boxes
    for text, box in boxes:
        inside = box.x0 >= 0 and box.y0 >= 0
        inside &= box.x1 <= width and box.y1 <= height
        assert inside, f"{text!r} is cut at {box}"
    for (text, box), (other, box2) in combinations(boxes, 2):
        shared = Bbox.intersection(box, box2)
        # The inner pixel is what counts: boxes of neighbours may touch.
        overlap = shared is not None and min(shared.size) > 1
        # Slanted names' boxes overlap where they themselves do not.
        slanted = name.startswith("confusion_matrices")
        assert slanted or not overlap, f"{text!r} lies on {other!r}"


def colour_of(method):
    return METHODS[method].colour.lower()


def lines_of(ax, **look):
    """Lines of the axes that have this look, such as marker="o"."""
    return [
        line
        for line in ax.get_lines()
        if all(getattr(line, f"get_{k}")() == v for k, v in look.items())
    ]


def texts_of(artists):
    return [text.get_text() for text in artists]


def segments_of(ax, axis):
    """Both ends of each bar of the axes, along x (0) or y (1)."""
    lines = [c for c in ax.collections if isinstance(c, LineCollection)]
    each = [s for c in lines for s in c.get_segments()]
    return np.array([segment[:, axis] for segment in each if len(segment)])


def test_jupyter_shows_charts_as_png_and_sheets_as_jpeg():
    chart, sheet = drawn("class_counts"), drawn("sample_sheet")
    with Image.open(io.BytesIO(chart._repr_png_())) as shown:
        assert (shown.format, shown.mode, shown.width) == ("PNG", "P", 700)
    with Image.open(io.BytesIO(sheet._repr_jpeg_())) as shown:
        assert (shown.format, shown.width) == ("JPEG", 780)
    assert not hasattr(chart, "_repr_jpeg_")
    assert not hasattr(sheet, "_repr_png_")


def test_save_writes_under_the_notebooks_number_and_keeps_colours(tmp_path):
    workspace = Workspace("03", "smoke", tmp_path)
    fig = drawn("class_counts")
    assert figures.save(fig, workspace, "w") is fig
    with Image.open(tmp_path / "figures" / "03_w.png") as saved:
        assert saved.size == (840, 336)  # 7 x 2.8 inches at 120 dpi
    shades = np.linspace(0, 255, 20 * 20).reshape(20, 20, 1)
    red = (shades * [1, 0.6, 0.5]).astype(np.uint8)
    fig = figures.save(figures.image_grid([red], ["red"]), workspace, "red")
    saved = np.asarray(Image.open(tmp_path / "figures" / "03_red.jpg"))
    fig.savefig(tmp_path / "exact.png", dpi=style.SAVED_DPI)
    exact = np.asarray(Image.open(tmp_path / "exact.png").convert("RGB"))
    assert np.abs(saved.astype(int) - exact).mean() < 2


def test_bars_write_numbers_and_shares():
    (ax,) = drawn("class_counts").axes
    assert [bar.get_width() for bar in ax.patches] == COUNTS.tolist()
    assert ax.texts[0].get_text() == "1,240 (26.9%)"


def test_histories_are_means_of_seeds_and_dash_validation():
    fig = drawn("histories")
    thick = lines_of(fig.axes[0], linewidth=2)
    assert len(thick) == 2 * 2
    assert len(lines_of(fig.axes[0], linewidth=0.7)) == 2 * 2 * 3
    loss = HISTORY[HISTORY["metric"] == "loss"]
    means = loss.groupby(["method", "part", "epoch"])["value"].mean()
    for line in thick:
        method = A if to_hex(line.get_color()) == colour_of(A) else B
        part = "val" if line.is_dashed() else "train"
        np.testing.assert_allclose(line.get_ydata(), means[method, part])
    labels = texts_of(fig.legends[0].get_texts())
    assert labels[-2:] == ["training", "validation"]
    assert [ax.get_title() for ax in fig.axes] == ["Loss", "Accuracy"]


def test_curves_draw_their_numbers_in_their_methods_colours():
    left, right = drawn("curves").axes
    for ax, own in zip((left, right), PANELS.values(), strict=True):
        *lines, mark = ax.get_lines()
        assert (list(mark.get_xdata()), mark.get_ls()) == ([0.5, 0.5], ":")
        for line, (name, values) in zip(lines, own.items(), strict=True):
            np.testing.assert_array_equal(line.get_xydata(), np.c_[P, values])
            label = METHODS[name].label if name in METHODS else name
            assert line.get_label() == label
            if name in METHODS:
                assert to_hex(line.get_color()) == colour_of(name)


def test_curves_that_lie_close_differ_in_more_than_their_shade():
    left, right = drawn("curves").axes
    focal = left.get_lines()[1:5]
    assert len({str(line._unscaled_dash_pattern) for line in focal}) == 4
    one, other = (to_hex(line.get_color()) for line in right.get_lines()[:2])
    assert one != other
    one, other = right.get_lines()[:2]
    assert (one.is_dashed(), other.is_dashed()) == (False, True)
    networks = drawn("curves, of networks").axes[0].get_lines()
    assert len({line.get_marker() for line in networks}) == 4


def test_a_curve_keeps_its_look_in_every_panel_and_is_named_once():
    fig = figures.curves({"a": FOCAL, "b": FOCAL}, P)
    first, second = (
        [(line.get_color(), line.get_linestyle()) for line in ax.get_lines()]
        for ax in fig.axes
    )
    assert first == second
    names = texts_of(fig.legends[0].get_texts())
    assert names == [METHODS[name].label for name in FOCAL]


def test_curves_of_tables_and_names_keep_their_order_gaps_and_marks():
    for k, ax in enumerate(drawn("curves, of tables").axes):
        line, mark = ax.get_lines()
        np.testing.assert_allclose(line.get_ydata(), P + k)
        assert list(mark.get_xdata()) == [3, 3]
    ax = drawn("curves, of networks").axes[0]
    for line, method in zip(ax.get_lines(), FOUR, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), NETWORKS[method])
    assert texts_of(ax.get_xticklabels()) == list(NETWORKS.index)


def test_four_panels_make_a_square_and_epochs_are_whole():
    fig = drawn("curves, four panels")
    assert fig.axes[0].get_subplotspec().get_geometry()[:2] == (2, 2)
    fig.canvas.draw()
    ticks = fig.axes[0].get_xticks()
    np.testing.assert_array_equal(ticks, ticks.round())


def test_the_two_smallest_classes_have_their_colours():
    lines = drawn("curves, of classes").axes[0].get_lines()
    colours = [to_hex(line.get_color()) for line in lines]
    assert (colours[4], colours[3]) == ("#c2185b", "#f39c12")
    assert lines[4].get_label() == "Whiteheads (299)"
    areas = drawn("curves, stacked").axes[0].collections
    assert to_hex(areas[0].get_facecolor()[0]) == "#c2185b"
    tops = [area.get_paths()[0].vertices[:, 1].max() for area in areas]
    assert tops[0] == pytest.approx(SHARES[:, 4].max())
    assert tops[-1] == pytest.approx(1)


def test_scores_join_the_means_of_seeds():
    ax = drawn("scores_over").axes[0]
    own = DEPTHS[DEPTHS["dataset"] == "caltech PART"]
    own = own.groupby(["method", "network"], sort=False)["value"]
    joined = lines_of(ax, markersize=6)
    for line, method in zip(joined, (A, B, "over_sampling"), strict=True):
        np.testing.assert_allclose(line.get_ydata(), own.mean()[method])
        assert to_hex(line.get_color()) == colour_of(method)
    seeds = [line.get_ydata() for line in lines_of(ax, markersize=3)]
    assert np.size(seeds) == 3 * 3 * 5
    low, high = ax.get_ylim()
    assert low < np.min(seeds) < np.max(seeds) < high
    assert texts_of(ax.get_xticklabels()) == BLOCKS


def test_gains_go_by_ratio_around_zero():
    published, measured = drawn("scores_over, gains").axes
    zero, line = measured.get_lines()
    assert set(zero.get_ydata()) == {0}
    assert list(line.get_xdata() * 1.05**0.5) == pytest.approx(sorted(RHO))
    assert list(line.get_ydata()) == pytest.approx([0.7, 0.9, 0.5])
    assert len(published.get_lines()) == 3
    assert published.get_ylim() == measured.get_ylim()
    assert texts_of(measured.get_xticklabels()) == ["2", "8", "37"]


def test_intervals_are_written_out():
    fig = drawn("interval_plot")
    fig.canvas.draw()
    texts = texts_of(fig.findobj(plt.Text))
    assert f"+0.012 [{MINUS}0.010, +0.030]" in texts
    assert f"{MINUS}0.020" in texts


def test_published_numbers_stand_beside_intervals_in_their_status():
    fig = drawn("beside_plot")
    ax = fig.axes[0]
    assert texts_of(ax.get_yticklabels()) == ["a", "b"]
    bars, published, intervals, measured = ax.collections
    assert published.get_offsets()[:, 0].tolist() == [0.05, 0.02]
    assert {to_hex(c) for c in published.get_facecolors()} == {figures.INK}
    assert len({to_hex(c) for c in measured.get_facecolors()}) == 2
    ends = [segment[:, 0].tolist() for segment in intervals.get_segments()]
    assert ends == [[0.03, 0.06], [-0.02, 0.01]]
    legend = texts_of(fig.legends[0].get_texts())
    assert legend == ["published", "reference", "within", "outside"]


def test_dots_draw_scores_intervals_and_the_baseline():
    ax = drawn("dot_plot").axes[0]
    bars, dots = ax.collections
    expected = np.c_[SCORES["mean"], np.arange(len(SCORES))]
    np.testing.assert_allclose(dots.get_offsets(), expected)
    colours = [to_hex(colour) for colour in dots.get_facecolors()]
    assert colours == [colour_of(method) for method in LOSSES]
    np.testing.assert_allclose(segments_of(ax, 0), SCORES[["low", "high"]])
    (dashed,) = lines_of(ax, linestyle="--")
    assert dashed.get_xdata()[0] == SCORES["mean"][0]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first row is on top
    # Rows go by name, and need no baseline.
    some = SCORES[1:4]
    for ax in figures.dot_plot({"a": some, "b": some[::-1]}, "Both").axes:
        assert not ax.get_lines()
        dots = ax.collections[1].get_offsets()[:, 0]
        np.testing.assert_allclose(dots, some["mean"])


def test_dots_in_groups_are_parted_and_filled_where_clear():
    table = pd.concat([SCORES, SCORES[10:]], ignore_index=True)
    table = table.assign(mean=0.01, low=-0.02, high=0.04)
    table["clear"] = table.index < 15
    table["method"] = list(METHODS)[: len(table)]
    table.iloc[-1, 1:4] = -0.9, -1, -0.8
    groups = [""] + ["first"] * 9 + ["second"] * 10
    fig = figures.dot_plot({"a": table, "b": table}, "T", groups=groups)
    for ax in fig.axes:
        faces = [to_hex(c) for c in ax.collections[1].get_facecolors()]
        assert faces[:15] == [colour_of(m) for m in table["method"][:15]]
        assert faces[15:] == ["#ffffff"] * 5
        across = [line for line in ax.get_lines() if line.get_ydata()[0] % 1]
        assert [line.get_ydata()[0] for line in across] == [0.5, 9.5]
        assert ax.get_xlim()[0] > -0.8  # and an arrow in the far row
        assert [line.get_marker() for line in ax.get_lines()].count("<") == 1
    placed = [(text.get_text(), text.xy[1]) for text in fig.axes[-1].texts]
    assert placed == [("", 0), ("first", 5), ("second", 14.5)]


def test_scores_stay_at_their_x_where_no_two_lines_share_one():
    table = pd.DataFrame({"x": [0.1, 0.5, 0.2, 0.6], "line": list("aabb")})
    table["value"] = [1.0, 2, 3, 4]
    ax = figures.scores_over(table, "x", "line").axes[0]
    drawn = [list(line.get_xdata()) for line in ax.get_lines()]
    assert drawn == [[0.1, 0.5], [0.2, 0.6]]


def test_confusions_write_counts_and_colour_shares():
    first, second = drawn("confusion_matrices").axes[:2]
    assert "".join(texts_of(first.texts)) == "820310000"
    assert texts_of(second.texts)[:2] == ["2.0", "0.5"]
    shares = first.collections[0].get_array()
    expected = [[0.8, 0.2, 0], [0.75, 0.25, 0], [0, 0, 0]]
    np.testing.assert_allclose(shares, expected)


def test_images_are_shown_as_they_are():
    axes = drawn("image_grid, wide").axes
    for ax, image in zip(axes, (IMAGES[0], IMAGES[0, :, :, 0]), strict=True):
        (shown,) = ax.get_images()
        np.testing.assert_array_equal(shown.get_array(), image)
        assert shown.get_clim() == (0, 255)


@pytest.mark.parametrize(
    ("sizes", "shown", "title"),
    [
        ([9, 2, 1], [0, 4, 8, 9, 10, -1, 11, -1, -1], ""),
        ([1] * 39, range(0, 39, 2), "20 of 39 classes"),
    ],
)
def test_sample_sheet_has_a_row_for_each_class_or_for_some(
    sizes, shown, title
):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    images = np.zeros((len(labels), 4, 4, 3), np.uint8)
    images[..., 0] = np.arange(len(labels))[:, None, None]
    columns = len(shown) // min(len(sizes), 20)
    fig = figures.sample_sheet(images, labels, range(len(sizes)), columns)
    firsts = [
        ax.images[0].get_array()[0, 0, 0] if ax.images else -1
        for ax in fig.axes
    ]
    assert firsts == [*shown]
    assert fig.get_suptitle() == title
    assert int(fig.axes[columns].get_ylabel()) == labels[shown[columns]]


def circles_of(ax):
    """Left, upper, right and lower ends of the circles of each kind."""
    kinds = [c for c in ax.collections if isinstance(c, PatchCollection)]
    return [
        [
            path.get_extents().extents.round(6).tolist()
            for path in c.get_paths()
        ]
        for c in kinds
    ]


def test_circles_have_their_places_and_sizes():
    found, false, missed = circles_of(drawn("circles_on").axes[0])
    # 4 pixels round (10, 5), 6 pixels round (20, 15)
    assert found == [[6, 1, 14, 9], [14, 9, 26, 21]]
    assert (len(false), len(missed)) == (1, 0)


def test_maps_share_a_scale_and_rings_stand_at_lesions():
    axes = drawn("map_sheet").axes
    (rings,) = circles_of(axes[0])
    assert rings == [[3, 8, 7, 12], [8, 13, 12, 17]]
    assert not circles_of(axes[5])
    each = np.concatenate([np.ravel(own) for own in MAPS.values()])
    for ax in axes[5:-1]:
        assert ax.images[1].get_clim() == (each.min(), each.max())
    assert axes[-1].get_ylabel() == "Gate"
