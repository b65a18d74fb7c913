"""What a few numbers say of a picture: size, light, colour, black edges."""

import numpy as np
import pandas as pd
from PIL import Image

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness (ITU-R BT.601)."""

BLACK = 16
"""A pixel with all three channels below this, of 255, counts as black."""

EDGE = 0.02
"""Width of the rim in which black pixels are counted, as share of a side."""

NAMES = ("brightness", "contrast", "redness", "black_edge")


def statistics(images: np.ndarray) -> pd.DataFrame:
    """Four numbers a picture, which know nothing of any lesion.

    images: uint8 (N, H, W, 3). Returns N rows with the columns ``NAMES``:
    brightness, the mean luma (0-255); contrast, its standard deviation;
    redness, the mean of red minus that of green (-255 to 255); black_edge,
    the share of black pixels in the picture's rim (0-1).

    Raises ValueError for another dtype or shape.
    """
    _check(images)
    height, width = images.shape[1:3]
    rim = np.ones((height, width), bool)
    margin = max(1, round(EDGE * min(height, width)))
    rim[margin:-margin, margin:-margin] = False
    rows = np.empty((len(images), len(NAMES)))
    # One picture at a time: all of them as floats would not fit a laptop.
    for row, image in zip(rows, images, strict=True):
        luma = image @ np.array(LUMA)
        red, green = image[..., 0].mean(), image[..., 1].mean()
        black = (image[rim] < BLACK).all(axis=-1).mean()
        row[:] = luma.mean(), luma.std(), red - green, black
    return pd.DataFrame(rows, columns=list(NAMES))


def thumbnails(images: np.ndarray, side: int) -> np.ndarray:
    """Shrink pictures to the means of side x side boxes.

    images: uint8 (N, H, W, 3). Returns float32 (N, side, side, 3), 0-255.
    Raises ValueError for another dtype or shape.
    """
    _check(images)
    small = np.empty((len(images), side, side, 3), np.float32)
    for row, image in zip(small, images, strict=True):
        picture = Image.fromarray(image)
        row[:] = picture.resize((side, side), Image.Resampling.BOX)
    return small


def _check(images: np.ndarray) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(
            "images: uint8 (N, height, width, 3) is needed, got "
            f"{images.dtype} {images.shape}"
        )
