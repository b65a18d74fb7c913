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


@dataclass(frozen=True, eq=False)
class Comparison:
    """Circles and cells of one photograph, paired.

    found: the circles, with columns hit, cell (the row of the paired true
    cell, -1 without), distance (pixels between paired centres), grown (found
    minus true radius, pixels), both NaN without a pair, and cause ("" for a
    hit, else one of ``CAUSES``). cells: the true ones, with hit and cause
    beside their other columns.
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
    """
    found, cells = found.reset_index(drop=True), cells.reset_index(drop=True)
    radius = cells["radius"].to_numpy(float)
    size = found["radius"].to_numpy(float)
    gaps = _gaps(found, cells)
    allowed = gaps <= tolerance * radius
    # So dear that one more pair is worth any distance.
    i, j = linear_sum_assignment(np.where(allowed, gaps, 1e9))
    i, j = i[allowed[i, j]], j[allowed[i, j]]

    found = found.assign(hit=False, cell=-1, distance=np.nan, grown=np.nan)
    found.loc[i, "hit"] = True
    found.loc[i, "cell"] = j
    found.loc[i, "distance"] = gaps[i, j]
    found.loc[i, "grown"] = size[i] - radius[j]
    cells = cells.assign(hit=cells.index.isin(j))
    crowded = overlapped(cells)
    nearest = gaps.min(axis=1, initial=np.inf)[:, None]
    beside = crowded & (gaps == nearest) & (gaps < size[:, None] + radius)
    platelets = cells[:0]
    if distractors is not None:
        platelets = distractors[distractors["kind"] == "platelet"]
    away = _gaps(found, platelets)
    odd = (away < nearest) & (away < size[:, None])
    found["cause"] = np.select(
        [found.hit, odd.any(1), _cut(found, shape), beside.any(1)],
        ["", "distractor", "border", "overlap"],
        "other",
    )
    cells["cause"] = np.select(
        [cells.hit, _cut(cells, shape), crowded],
        ["", "border", "overlap"],
        "other",
    )
    return Comparison(found, cells)


def scores(comparisons: Sequence[Comparison]) -> pd.Series:
    """Precision, recall and F1 of all circles and cells together.

    Beside them the numbers of cells and circles and the median errors of
    centre and radius, in pixels. Nothing over nothing is NaN.
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
    x, y, r = circles[["x", "y", "radius"]].to_numpy(float).T
    return np.min([x, y, shape[1] - x, shape[0] - y], axis=0) < r
