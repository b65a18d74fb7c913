"""The four numbers of a picture against pictures where they are known."""

import numpy as np
import pytest

from helpers.data import pixels


def plain(colour, side=50):
    return np.full((1, side, side, 3), colour, np.uint8)


def test_a_plain_picture_has_its_colour_and_no_contrast():
    row = pixels.statistics(plain((200, 100, 50))).iloc[0]
    luma = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    assert row["brightness"] == pytest.approx(luma)
    assert row["contrast"] == pytest.approx(0, abs=1e-9)
    assert row["redness"] == 100
    assert row["black_edge"] == 0


def test_contrast_is_the_standard_deviation_of_grey():
    image = plain(0)
    image[:, :, 25:] = 200
    row = pixels.statistics(image).iloc[0]
    assert row["brightness"] == pytest.approx(100)
    assert row["contrast"] == pytest.approx(100)


def test_black_edge_counts_the_rim_and_nothing_else():
    # A side of 50 has a rim of one pixel: 4 · 49 pixels.
    framed, centre, band = plain(90), plain(90), plain(90)
    framed[:, [0, -1]] = framed[:, :, [0, -1]] = 0
    centre[:, 1:-1, 1:-1] = 0
    band[:, :10] = pixels.BLACK - 1
    edges = [
        pixels.statistics(image)["black_edge"].iloc[0]
        for image in (framed, centre, band)
    ]
    assert edges == pytest.approx([1, 0, (50 + 2 * 9) / (4 * 49)])


def test_a_dark_colour_is_not_black():
    dark = plain((pixels.BLACK, 0, 0))
    assert pixels.statistics(dark)["black_edge"].iloc[0] == 0


def test_thumbnails_are_box_means():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 64, 32, 3), np.uint8)
    small = pixels.thumbnails(images, 8)
    assert small.shape == (3, 8, 8, 3)
    assert small.dtype == np.float32
    means = images.reshape(3, 8, 8, 8, 4, 3).mean(axis=(2, 4))
    # Pillow rounds to whole grey levels, once for each direction.
    assert np.abs(small - means).max() <= 1


@pytest.mark.parametrize(
    "function",
    [pixels.statistics, lambda images: pixels.thumbnails(images, 8)],
    ids=["statistics", "thumbnails"],
)
@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 8, 8, 3)), np.zeros((8, 8, 3), np.uint8)],
    ids=["float", "single"],
)
def test_other_arrays_are_refused(function, images):
    with pytest.raises(ValueError, match="uint8"):
        function(images)
