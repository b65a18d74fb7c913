"""How well a detector's circles match the true cells of a photograph.

A circle and a cell are paired one to one, so that two circles on one cell
count as one hit and one error.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

CAUSES = ("distractor", "border", "overlap", "other")
"""Why a circle is false or a cell missed; the first that applies counts."""

_CIRCLE = ["x", "y", "radius"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Circles and cells of one photograph, paired.

    found: the circles, with columns hit, distance (pixels between paired
    centres, NaN without a pair), grown (found minus true radius, pixels, NaN
    without a pair) and cause ("" for a hit, else one of ``CAUSES``). cells:
    the true ones, with all their own columns, and hit and cause.
    """

    found: pd.DataFrame
    cells: pd.DataFrame


def compare(
    found: pd.DataFrame,
    cells: pd.DataFrame,
    shape: Sequence[int],
    distractors: pd.DataFrame | None = None,
    tolerance: float = 0.5,
) -> Comparison:
    """Pair found circles with the cells of one photograph.

    found, cells: columns x, y, radius in pixels. shape: height and width of
    the photograph. distractors: x, y, radius, kind of what is no cell, or
    None. tolerance: a pair's centres are at most this many true radii apart.
    As many pairs as can be are made, and of all such pairings the one with
    the least sum of distances (scipy's ``linear_sum_assignment``).

    A false circle's cause is *distractor* where a platelet is nearer to its
    middle than any cell, *border* where it passes the border, *overlap*
    where it reaches into the nearest cell and that one touches or overlaps
    another, *other* else. A missed cell's cause is *border* where the border
    cuts it, *overlap* where it touches or overlaps another one, *other* else.

    Raises ValueError where a column is missing, a radius is not above 0, or
    the tolerance is not.
    """
    for name, table in (("found", found), ("cells", cells)):
        if missing := sorted({*_CIRCLE} - {*table}):
            raise ValueError(
                f"{name}: expected the columns {', '.join(_CIRCLE)}, "
                f"{', '.join(missing)} missing"
            )
        if not (table["radius"] > 0).all():
            raise ValueError(f"{name}: expected radii above 0")
    if tolerance <= 0:
        raise ValueError(f"tolerance={tolerance} must be above 0")
    found, cells = found.reset_index(drop=True), cells.reset_index(drop=True)
    radius = cells["radius"].to_numpy(float)
    gaps = _gaps(found, cells)
    allowed = gaps <= tolerance * radius
    # So dear that one more pair is worth any distance.
    i, j = linear_sum_assignment(np.where(allowed, gaps, 1e9))
    i, j = i[allowed[i, j]], j[allowed[i, j]]

    found = found.assign(hit=False, distance=np.nan, grown=np.nan)
    found.loc[i, "hit"] = True
    found.loc[i, "distance"] = gaps[i, j]
    found.loc[i, "grown"] = found["radius"].to_numpy(float)[i] - radius[j]
    cells = cells.assign(hit=cells.index.isin(j))
    crowded = overlapped(cells)
    odd, beside = _reasons(found, gaps, radius, crowded, distractors)
    found["cause"] = np.select(
        [found["hit"], odd, _cut(found, shape), beside],
        ["", "distractor", "border", "overlap"],
        "other",
    )
    cells["cause"] = np.select(
        [cells["hit"], _cut(cells, shape), crowded],
        ["", "border", "overlap"],
        "other",
    )
    return Comparison(found, cells)


def scores(comparisons: Sequence[Comparison]) -> pd.Series:
    """Precision, recall and F1 of all circles and cells together.

    Beside them cells, circles, the median distance between the centres of a
    pair and the median of found minus true radius, in pixels. A score whose
    denominator is zero is NaN.
    """
    found = pd.concat([c.found for c in comparisons])
    cells = pd.concat([c.cells for c in comparisons])
    hits, n_found, n_cells = int(found["hit"].sum()), len(found), len(cells)
    return pd.Series(
        {
            "cells": n_cells,
            "circles": n_found,
            "precision": hits / (n_found or np.nan),
            "recall": hits / (n_cells or np.nan),
            "f1": 2 * hits / ((n_found + n_cells) or np.nan),
            "centre_error_px": found["distance"].median(),
            "radius_error_px": found["grown"].median(),
        }
    )


def overlapped(circles: pd.DataFrame) -> np.ndarray:
    """Whether another circle touches or overlaps each: (n,) bool."""
    r = circles["radius"].to_numpy(float)
    near = _gaps(circles, circles) <= r[:, None] + r
    return near.sum(axis=1) > 1


def _gaps(a: pd.DataFrame, b: pd.DataFrame) -> np.ndarray:
    """Distances between the centres of a and b: (n, m) float."""
    return cdist(*(table[["x", "y"]].to_numpy(float) for table in (a, b)))


def _cut(circles: pd.DataFrame, shape) -> np.ndarray:
    x, y, r = circles[_CIRCLE].to_numpy(float).T
    return np.min([x, y, shape[1] - x, shape[0] - y], axis=0) < r


def _reasons(found, gaps, radius, crowded, distractors):
    """Which circles lie on a platelet, which beside an overlapping cell."""
    own = found["radius"].to_numpy(float)
    nearest = gaps.min(axis=1, initial=np.inf)
    odd = beside = np.zeros(len(found), bool)
    if gaps.size:
        cell = gaps.argmin(axis=1)
        beside = crowded[cell] & (nearest < own + radius[cell])
    if distractors is not None and len(distractors):
        platelets = distractors[distractors["kind"] == "platelet"]
        away = _gaps(found, platelets).min(axis=1, initial=np.inf)
        odd = (away < nearest) & (away < own)
    return odd, beside
