"""Handwritten digits that come with scikit-learn: real, small, no download.

E. Alpaydin and C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI
Machine Learning Repository, 1998, doi:10.24432/C50P49: its test part.
"""

import numpy as np
from PIL import Image
from sklearn import datasets

from helpers.data.arrays import from_arrays
from helpers.data.dataset import ImageDataset

SIDE = 8
"""Side in pixels of a digit as it is stored."""


def load_digits(image_size: int = 16) -> ImageDataset:
    """Return the 1,797 digits, 174 to 183 a class, without sources.

    The grey levels 0 to 16 become 0 to 255 in three equal channels. The 8 × 8
    pixels are enlarged to image_size bilinearly, which invents no level
    beyond its neighbours; at 8 they stay as they are.

    The digits were written by 13 people, and which one wrote which is not
    told: every split of them tests on hands it has seen in training.

    Raises ValueError for an image_size below 8.
    """
    if not isinstance(image_size, int) or image_size < SIDE:
        raise ValueError(
            f"image_size: expected {SIDE} pixels or more, got {image_size!r}"
        )
    bunch = datasets.load_digits()
    levels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    size = (image_size, image_size)
    grey = np.stack(
        [
            np.asarray(
                Image.fromarray(x).resize(size, Image.Resampling.BILINEAR)
            )
            for x in levels
        ]
    )
    return from_arrays(
        "digits",
        np.repeat(grey[..., None], 3, axis=-1),
        bunch.target,
        tuple("0123456789"),
        origin="sklearn.datasets.load_digits (UCI, doi:10.24432/C50P49)",
        licence="CC BY 4.0",
        citation="Alpaydin & Kaynak 1998, doi:10.24432/C50P49",
    )
