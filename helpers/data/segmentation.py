"""From a blood-smear photograph to single cells, every step kept.

K. Pasupa, S. Vatathanavaro and S. Tungjitnob, *Convolutional neural networks
based focal loss for class imbalance problem: a case study of canine red blood
cells morphology classification*, doi:10.1007/s12652-020-01773-x, Algorithm 1
and Figs 5 to 7: enlarge, greyscale, adaptive histogram equalisation, Hough
circles, cut, pad with zeros. The paper names no parameter of these steps but
the 224 pixels; those of ``Search`` are ours.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import pandas as pd
from scipy import ndimage

SIDE = 224
"""Diameter in pixels to which the paper enlarges a cell: the side of the
images that ResNet-50 and DenseNet-121 take by default."""

PIXEL_LIMIT = 200_000_000
"""Width × height above which a photograph is not enlarged: 1 GB is needed."""

CIRCLE = ["x", "y", "radius"]
"""Columns of a table of circles, float, in pixels from the upper left."""

# Cell diameter, in pixels, at which circles are sought. At 224 px the search
# would take seconds a photograph, and noise would have edges of its own.
_SOUGHT_AT = 40.0


@dataclass(frozen=True)
class Search:
    """How circles are sought. Lengths are in cell diameters.

    Chosen on one half of the blocks of Chula RBC-12 (the even ones): see
    notebook 07. The paper does not mention the smoothing before the edges,
    which the Hough transform needs.
    """

    clip_limit: float = 2.0  # contrast limit of the adaptive equalisation
    tile: float = 2.0  # side of its tiles (CLAHE; Zuiderveld 1994)
    blur: float = 0.06  # standard deviation of the smoothing
    edge: float = 60.0  # upper threshold of Canny's edges, in grey levels
    votes: float = 0.1  # share of a circle's edge that must vote for a centre
    apart: float = 0.6  # smallest distance between two centres
    smallest: float = 0.35  # bounds of the radius
    largest: float = 0.65


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Every image between a photograph and its cells (Figs 5 to 7)."""

    ratio: float  # the enlargement
    enlarged: np.ndarray  # (h, w, 3) uint8
    grey: np.ndarray  # (h, w) uint8, like equalised
    equalised: np.ndarray
    circles: pd.DataFrame  # columns CIRCLE, in pixels of the enlarged image
    side: int  # of a padded cell

    @property
    def found(self) -> pd.DataFrame:
        """The circles in pixels of the photograph."""
        return self.circles / self.ratio

    @cached_property
    def cut(self) -> list[np.ndarray]:
        """The square around each circle, beyond the border black (Fig. 7d)."""
        return [
            cut_square(self.enlarged, x, y, int(np.ceil(2 * radius)))
            for x, y, radius in self.circles.to_numpy()
        ]

    @cached_property
    def cells(self) -> np.ndarray:
        """The same padded to (N, side, side, 3) uint8 (Fig. 7e)."""
        cells = np.empty((len(self.circles), self.side, self.side, 3), "uint8")
        for cell, square in zip(cells, self.cut, strict=True):
            cell[:] = pad(square, self.side)
        return cells


def segment(
    photograph: np.ndarray,
    cell_diameter: float | None = None,
    side: int = SIDE,
    search: Search | None = None,
) -> Segmentation:
    """Run Algorithm 1 on one photograph.

    photograph: (H, W, 3) uint8, RGB. cell_diameter: of a cell in it, in
    pixels; None measures it (``typical_diameter``). side: the diameter to
    which cells are enlarged, and the side of the padded images.

    A photograph without contrast, or smaller than a cell, has no circles:
    that is an empty result, not an error. Where a diameter cannot be
    measured, the photograph is not enlarged. Raises TypeError for another
    dtype, ValueError for another shape or diameter, and where the enlarged
    photograph would have more than ``PIXEL_LIMIT`` pixels.
    """
    if cell_diameter is None:
        cell_diameter = typical_diameter(photograph)
    elif not 0 < cell_diameter < np.inf:
        raise ValueError(
            "cell_diameter: expected pixels above 0, or None to measure it; "
            f"got {cell_diameter!r}"
        )
    measured = np.isfinite(cell_diameter)
    ratio = side / cell_diameter if measured else 1.0
    search = search or Search()
    enlarged = enlarge(photograph, ratio)
    grey = to_grey(enlarged)
    equalised = equalise(grey, side, search)
    circles = find_circles(equalised, side, search)[: None if measured else 0]
    return Segmentation(ratio, enlarged, grey, equalised, circles, side)


def typical_diameter(photograph: np.ndarray) -> float:
    """Measure the diameter of a cell in a photograph, in pixels.

    The median over its lone cells; NaN where there is none. Where nearly all
    cells touch others, give ``segment`` the diameter instead.
    """
    return float(2 * lone_cells(photograph)["radius"].median())


def lone_cells(photograph: np.ndarray) -> pd.DataFrame:
    """Find cells that touch nothing, without looking for circles.

    The round, separate dark patches (``foreground``), each as the circle of
    its area about its centre of mass: columns ``CIRCLE``. Round: the patch
    fills four fifths of the circle around its bounding box, which two cells
    that touch do not. Patches at the border and those below a fifth of the
    large ones (specks, platelets) are left out.
    """
    dark = foreground(photograph)
    _, _, boxes, middles = cv2.connectedComponentsWithStats(
        dark.astype(np.uint8), connectivity=4
    )
    # Row 0 is the background.
    left, top, across, down, area = boxes[1:].T
    inside = (left > 0) & (left + across < dark.shape[1])
    inside &= (top > 0) & (top + down < dark.shape[0])
    is_round = area > 0.2 * np.pi * np.maximum(across, down) ** 2
    large = area > 0.2 * np.quantile(area, 0.9) if len(area) else inside
    circles = np.column_stack([middles[1:], np.sqrt(area / np.pi)])
    return pd.DataFrame(circles[inside & is_round & large], columns=CIRCLE)


def foreground(photograph: np.ndarray) -> np.ndarray:
    """Tell cells from background by Otsu's threshold: (H, W) bool.

    Pale centres are filled. N. Otsu, *A threshold selection method from
    gray-level histograms*, 1979, doi:10.1109/TSMC.1979.4310076. All False
    where the two sides of the threshold differ by less than 4 grey levels.
    """
    grey = cv2.GaussianBlur(to_grey(photograph), (0, 0), 2)
    level, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_OTSU)
    mask = grey <= level
    contrast = grey[~mask].mean() - grey[mask].mean() if mask.any() else 0
    if mask.all() or contrast < 4:
        return np.zeros(grey.shape, bool)
    return ndimage.binary_fill_holes(mask)


def enlarge(photograph: np.ndarray, ratio: float) -> np.ndarray:
    """Resample a photograph by a ratio: (h, w, 3) uint8.

    By Lanczos' kernel over 8 pixels instead of the paper's network, Waifu2×;
    by averages where the ratio is below 1.
    """
    _check(photograph)
    height, width = photograph.shape[:2]
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    if size[0] * size[1] > PIXEL_LIMIT:
        raise ValueError(
            f"photograph of {width} × {height} px: enlarged {ratio:.3g} "
            f"times it would have more than {PIXEL_LIMIT:,} pixels. Are the "
            "cells as small as that, or were specks of dust measured? Give "
            "segment the cell_diameter, or a smaller side"
        )
    how = cv2.INTER_LANCZOS4 if ratio > 1 else cv2.INTER_AREA
    return cv2.resize(photograph, size, interpolation=how)


def to_grey(photograph: np.ndarray) -> np.ndarray:
    """Luma of an RGB image (Rec. 601): (H, W) uint8."""
    _check(photograph)
    return cv2.cvtColor(photograph, cv2.COLOR_RGB2GRAY)


def equalise(grey: np.ndarray, diameter: float, search: Search) -> np.ndarray:
    """Raise the contrast between cells and background, tile by tile (CLAHE).

    grey: (H, W) uint8, in which a cell has ``diameter`` pixels.
    """
    tile = search.tile * diameter
    tiles = [max(1, round(side / tile)) for side in grey.shape[::-1]]
    return cv2.createCLAHE(search.clip_limit, tiles).apply(grey)


def find_circles(
    equalised: np.ndarray, diameter: float, search: Search
) -> pd.DataFrame:
    """Find circles by the Hough transform: columns ``CIRCLE``, best first.

    Every edge pixel votes for the centres that lie along its gradient, which
    is OpenCV's form of the transform (H. K. Yuen et al. 1990,
    doi:10.1016/0262-8856(90)90059-E). The image is first resampled so that
    a cell has 40 pixels: the parameters then mean the same at any size.
    Empty where the image is smaller than a cell, or has no edge.
    """
    none = pd.DataFrame(columns=CIRCLE, dtype=float)
    if min(equalised.shape) < 2 * search.smallest * diameter:
        return none
    zoom = _SOUGHT_AT / diameter
    size = [max(1, round(side * zoom)) for side in equalised.shape[::-1]]
    how = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    small = cv2.resize(equalised, size, interpolation=how)
    found = cv2.HoughCircles(
        cv2.GaussianBlur(small, (0, 0), search.blur * _SOUGHT_AT),
        cv2.HOUGH_GRADIENT,
        dp=1,
        minDist=search.apart * _SOUGHT_AT,
        param1=search.edge,
        param2=search.votes * np.pi * _SOUGHT_AT,
        minRadius=round(search.smallest * _SOUGHT_AT),
        maxRadius=round(search.largest * _SOUGHT_AT),
    )
    if found is None:
        return none
    circles = found.reshape(-1, found.shape[-1])[:, :3].astype(float)
    return pd.DataFrame(circles / zoom, columns=CIRCLE)


def cut_square(image: np.ndarray, x: float, y: float, side: int) -> np.ndarray:
    """Cut a square around (x, y): (side, side, 3), black beyond the border."""
    rows, cols = (round(c) - side // 2 + np.arange(side) for c in (y, x))
    square = image.take(rows, 0, mode="clip").take(cols, 1, mode="clip")
    square[(rows < 0) | (rows >= image.shape[0])] = 0
    square[:, (cols < 0) | (cols >= image.shape[1])] = 0
    return square


def pad(cell: np.ndarray, side: int) -> np.ndarray:
    """Bring a square to the network's size: (side, side, 3) uint8.

    A smaller one is padded with zeros on all sides (Algorithm 1, lines 9 to
    13). Of a larger one the algorithm says nothing: it is shrunk.
    """
    missing = side - len(cell)
    if missing < 0:
        return cv2.resize(cell, (side, side), interpolation=cv2.INTER_AREA)
    both = (missing // 2, missing - missing // 2)
    return np.pad(cell, (both, both, (0, 0)))


def _check(photograph: np.ndarray) -> None:
    if photograph.dtype != np.uint8:
        raise TypeError(
            "photograph: expected an array of uint8, 0 to 255, got "
            f"{photograph.dtype}"
        )
    if photograph.ndim != 3 or photograph.shape[2] != 3:
        raise ValueError(
            "photograph: expected (height, width, 3), RGB, got "
            f"{photograph.shape}"
        )
