"""Algorithm 1 step by step, on synthetic smears and on bad images."""

from itertools import product

import cv2
import numpy as np
import pytest

from helpers.data import segmentation as smears
from helpers.data.segmentation import Search, cut_square, pad, segment
from helpers.data.synthetic.smears import DIAMETER, draw_smear, draw_smears
from helpers.evaluation.detection import compare, scores

LIGHT, DARK = (190, 200, 195), (150, 110, 120)


def discs(*places, shape=(200, 300), radius=20.0):
    """A photograph of dark discs; the middle of a pixel counts as x + 0."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    photograph = np.empty((*shape, 3), np.uint8)
    photograph[:] = LIGHT
    for u, v in places:
        photograph[np.hypot(x - u, y - v) <= radius] = DARK
    return photograph


@pytest.fixture(scope="module")
def smear():
    return draw_smear({"Codocyte": 6, "Hypochromia": 6, "Normal": 40}, seed=3)


# --- single steps ---------------------------------------------------------


def test_lone_cells_are_measured(smear):
    photograph = discs((60, 50), (150, 120), (240, 70))
    assert smears.typical_diameter(photograph) == pytest.approx(40, abs=2)
    lone = smears.lone_cells(photograph)
    assert lone[["x", "y"]].round().to_numpy().tolist() == [
        [60, 50],
        [240, 70],
        [150, 120],
    ]
    assert lone["radius"].to_numpy() == pytest.approx(20, abs=1)
    # A pair that touches, one at the border, and a speck.
    photograph = discs((60, 50), (98, 50), (0, 150), (200, 120))
    photograph[20:24, 250:254] = DARK
    assert len(smears.lone_cells(photograph)) == 1
    assert np.isnan(smears.typical_diameter(discs((60, 50), (98, 50))))
    true = 2 * smear.cells["radius"].median()
    measured = smears.typical_diameter(smear.image)
    assert measured == pytest.approx(true, rel=0.05)


def test_foreground_fills_pale_centres():
    photograph = discs((60, 50), (200, 100))
    photograph[45:56, 55:66] = LIGHT
    dark = smears.foreground(photograph)
    assert dark[50, 60] and dark[100, 200] and not dark[150, 60]
    assert dark.dtype == bool
    assert not smears.foreground(np.full((90, 90, 3), 128, np.uint8)).any()
    faint = np.full((90, 90, 3), 128, np.uint8)
    faint[30:60, 30:60] = 126
    assert not smears.foreground(faint).any()


def test_enlarge_keeps_places_and_grey_is_of_rgb():
    photograph = discs((60, 50))
    large = smears.enlarge(photograph, 2.5)
    assert large.shape == (500, 750, 3) and large.dtype == np.uint8
    y, x = np.nonzero(smears.foreground(large))
    assert x.mean() == pytest.approx(2.5 * 60.5 - 0.5, abs=0.5)
    assert y.mean() == pytest.approx(2.5 * 50.5 - 0.5, abs=0.5)
    red = np.full((8, 8, 3), (200, 0, 0), np.uint8)
    assert (smears.to_grey(red) == 60).all()  # RGB, not BGR
    assert smears.enlarge(photograph, 0.5).shape == (100, 150, 3)
    assert np.array_equal(smears.enlarge(photograph, 1.0), photograph)


def test_equalise_raises_contrast(smear):
    grey = smears.to_grey(smear.image)
    equal = smears.equalise(grey, DIAMETER, Search())
    assert equal.shape == grey.shape and equal.dtype == np.uint8
    assert np.ptp(np.percentile(equal, [5, 95])) > 1.2 * np.ptp(
        np.percentile(grey, [5, 95])
    )
    stronger = smears.equalise(grey, DIAMETER, Search(clip_limit=8))
    assert equal.std() < stronger.std()
    # One tile is enough where cells are as large as the image.
    one = cv2.createCLAHE(2.0, (1, 1)).apply(grey)
    assert np.array_equal(smears.equalise(grey, 400, Search()), one)


# --- circles --------------------------------------------------------------


@pytest.mark.parametrize("diameter", [24, 40, 90])
def test_circles_lie_on_discs_at_any_size(diameter):
    zoom = diameter / 40
    places = [(60 * zoom, 50 * zoom), (150 * zoom, 120 * zoom)]
    shape = (round(200 * zoom), round(300 * zoom))
    photograph = discs(*places, shape=shape, radius=diameter / 2)
    grey = smears.to_grey(photograph)
    found = smears.find_circles(grey, diameter, Search())
    assert list(found) == ["x", "y", "radius"] and len(found) == 2
    found = found.sort_values("x").to_numpy() / zoom
    assert found[:, :2] == pytest.approx(np.array(places) / zoom, abs=1.5)
    assert found[:, 2] == pytest.approx(20, abs=1.5)


def test_every_setting_does_something():
    photograph = discs((60, 50), (88, 50), (200, 120))
    grey = smears.to_grey(photograph)

    def count(**changed):
        return len(smears.find_circles(grey, 40, Search(**changed)))

    assert count() == 3
    assert count(apart=0.9) == 2
    assert count(edge=2000) == 0
    assert count(votes=0.9) == 0
    assert count(blur=0.5) == 0
    assert count(smallest=0.6) == count(largest=0.36) == 0


def test_clean_cells_are_found_and_overlap_costs_recall():
    told = {}
    for overlap in (0.0, 0.4, 0.8):
        pairs = [
            compare(segment(s.image, DIAMETER, 40).found, s.cells, (480, 640))
            for s in draw_smears(0.1, seed=5, overlap=overlap)
        ]
        told[overlap] = scores(pairs)
    assert told[0.0]["f1"] >= 0.95
    assert told[0.0]["centre_error_px"] < 2
    assert abs(told[0.0]["radius_error_px"]) < 1
    recall = [told[overlap]["recall"] for overlap in told]
    assert recall[0] > recall[1] + 0.01 > recall[2] + 0.02


# --- the whole algorithm --------------------------------------------------


def test_every_image_on_the_way(smear):
    steps = segment(smear.image[:120, :160], DIAMETER, side=84)
    assert steps.ratio == 2
    assert steps.enlarged.shape == (240, 320, 3)
    assert steps.grey.shape == steps.equalised.shape == (240, 320)
    assert np.array_equal(steps.grey, smears.to_grey(steps.enlarged))
    assert not np.array_equal(steps.grey, steps.equalised)
    assert np.array_equal(steps.found * 2, steps.circles)
    assert len(steps.cut) == len(steps.cells) == len(steps.circles) > 3
    assert steps.cells.shape[1:] == (84, 84, 3)
    assert steps.cells.dtype == np.uint8
    x, y, radius = steps.circles.iloc[0]
    across = int(np.ceil(2 * radius))
    expected = cut_square(steps.enlarged, x, y, across)
    assert np.array_equal(steps.cut[0], expected)
    assert np.array_equal(steps.cells[0], pad(expected, 84))
    papers = segment(smear.image[:80, :80], DIAMETER)
    assert papers.side == 224 and papers.ratio == 224 / DIAMETER


def test_the_result_does_not_depend_on_the_side(smear):
    found = [segment(smear.image, side=side).found for side in (40, 112)]
    both = compare(found[0], found[1], smear.image.shape)
    assert scores([both])["f1"] > 0.95


def test_cut_square():
    image = np.arange(1, 61, dtype=np.uint8).reshape(6, 10)
    assert np.array_equal(cut_square(image, 4, 3, 3), image[2:5, 3:6])
    assert np.array_equal(cut_square(image, 4, 3, 4), image[1:5, 2:6])
    corner = cut_square(image, 0, 0, 4)
    assert (corner[:2] == 0).all() and (corner[:, :2] == 0).all()
    assert np.array_equal(corner[2:, 2:], image[:2, :2])
    assert not cut_square(image, -50, 3, 4).any()
    assert not cut_square(image, 90, 3, 4).any()
    assert cut_square(np.zeros((6, 10, 3)), 9, 5, 4).shape == (4, 4, 3)


def test_pad():
    cell = np.full((5, 5, 3), 9, np.uint8)
    padded = pad(cell, 8)
    assert padded.shape == (8, 8, 3)
    assert np.array_equal(padded[1:6, 1:6], cell)
    assert padded.sum() == cell.sum()
    assert np.array_equal(pad(cell, 5), cell)
    assert np.array_equal(pad(cell, 3), np.full((3, 3, 3), 9))


# --- bad input ------------------------------------------------------------


@pytest.mark.parametrize("known", [None, 42.0])
@pytest.mark.parametrize(
    "shape", [(200, 300, 3), (10, 12, 3), (1, 1, 3), (5, 400, 3)]
)
def test_nothing_on_it(shape, known):
    blank = np.full(shape, 200, np.uint8)
    steps = segment(blank, known, side=40)
    assert len(steps.circles) == 0 and steps.cut == []
    assert steps.cells.shape == (0, 40, 40, 3)
    assert list(steps.found) == ["x", "y", "radius"]
    assert steps.equalised.dtype == np.uint8


def test_smaller_than_a_cell_and_as_large_as_one(smear):
    photograph = discs((25, 25), shape=(50, 50))
    assert len(segment(smear.image[:20, :24], 42.0, 40).circles) == 0
    assert len(segment(photograph, 40.0, 40).circles) == 1


@pytest.mark.parametrize(
    ("wrong", "error", "told"),
    [
        (np.zeros((90, 90), np.uint8), ValueError, r"RGB, got \(90, 90\)"),
        (np.zeros((90, 90, 4), np.uint8), ValueError, r"\(90, 90, 4\)"),
        (np.zeros((90, 90, 3)), TypeError, "uint8.*float64"),
    ],
)
def test_no_photograph(wrong, error, told):
    for function in (segment, smears.to_grey, smears.typical_diameter):
        with pytest.raises(error, match=f"photograph: .*{told}"):
            function(wrong)


@pytest.mark.parametrize("diameter", [0, -3.0, float("nan")])
def test_bad_diameter(smear, diameter):
    with pytest.raises(ValueError, match="cell_diameter: expected pixels"):
        segment(smear.image, diameter)


def test_dust_is_not_enlarged_without_bound():
    """Specks of three pixels would ask for gigabytes."""
    dust = discs(*product(range(20, 280, 20), range(20, 180, 20)), radius=1.0)
    with pytest.raises(ValueError, match="specks of dust.*cell_diameter"):
        segment(dust, side=20_000)
    with pytest.raises(ValueError, match="300 × 200 px: enlarged 224 times"):
        segment(dust, 1.0)
    assert segment(dust, 20.0, side=40).ratio == 2
