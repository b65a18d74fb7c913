"""Synthetic blood-smear photographs, every cell's place known.

Three classes in the counts of Pasupa et al., doi:10.1007/s12652-020-01773-x:
normal cells with a pale centre, codocytes (target cells: a dark spot inside a
pale ring) and hypochromic cells (a wide pale centre) on 22 photographs.

A cell is a map of its thickness. Light that passes it is absorbed by the
Beer-Lambert law, so that stain gives the colour and overlapping cells darken
each other without anybody drawing that. Stain, light, focus and noise differ
from smear to smear.
"""

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pandas as pd

from helpers.data.dataset import ImageDataset, from_arrays
from helpers.data.segmentation import CIRCLE, cut_square, segment
from helpers.data.synthetic import check_settings, step, window
from helpers.evaluation import detection

NAME = "synthetic_smears"
COUNTS = {"Codocyte": 345, "Hypochromia": 356, "Normal": 2691}
CLASS_NAMES = tuple(COUNTS)
"""In the paper's order: its classes 0, 1 and 2."""
# Five folds by smear need five smears at any scale.
N_SMEARS, FEWEST_SMEARS = 22, 5

DIAMETER = 42.0
"""Of a normal cell, in pixels; as in Chula RBC-12."""
CROP = 64
"""Side in pixels of the square around a cell, which holds the largest one."""

# Share of a photograph that cells would cover if none overlapped.
_COVER = 0.30
# Distance of two cells in sums of their radii: of two that do not touch at
# least, of overlapping ones from 0.55 (deeply) to 1.02 (just touching).
_GAP, _CLOSEST, _TOUCHING = 1.1, 0.55, 1.02
# Mean diameter of each class, in normal ones.
_SIZE = {"Codocyte": 1.06, "Hypochromia": 0.97, "Normal": 1.0}
# Optical density of a cell's rim and of a platelet in R, G, B, and the light
# without a cell; those of a smear vary around these.
_EOSIN = np.float32((0.28, 0.62, 0.42))
_AZURE = np.float32((0.75, 1.05, 0.55))
_LIGHT = np.float32((0.68, 0.74, 0.72))


@dataclass(frozen=True, eq=False)
class Smear:
    """A synthetic photograph, (H, W, 3) uint8, RGB, and all that is on it.

    cells: x, y and radius in pixels (of the circle of equal area) and label.
    distractors: x, y, radius and kind, "platelet" or "cut cell" (whose
    centre lies beyond the border).
    """

    image: np.ndarray
    cells: pd.DataFrame
    distractors: pd.DataFrame
    name: str


def draw_smear(
    counts: Mapping[str, int],
    seed: int = 0,
    overlap: float = 0.15,
    noise: float = 3.0,
    size: tuple[int, int] | None = None,
    name: str = "smear",
) -> Smear:
    """Draw one photograph.

    counts: cells of each class; classes that are left out have none.
    overlap: share of the cells that are laid upon another one or touch it.
    noise: standard deviation of the camera's noise in grey levels. size:
    height and width in pixels; None gives the cells the usual crowding. The
    stain and the light of a seed are the same whatever overlap and noise are.

    Raises ValueError for an overlap outside [0, 1], a negative noise, and
    where the cells do not fit.
    """
    if not 0 <= overlap <= 1:
        raise ValueError(f"overlap={overlap} must lie in [0, 1]")
    if noise < 0:
        raise ValueError(f"noise={noise} must not be negative")
    layout, forms, stain, light = (
        np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4)
    )
    labels = np.repeat(list(counts), list(counts.values()))
    labels, n = layout.permutation(labels), len(labels)
    height, width = size = size or _size_for(n)
    # Cells whose centre lies beyond the border, as crowded as elsewhere.
    rim = (height + DIAMETER) * (width + DIAMETER) / (height * width)
    n_cut = round(n * (rim - 1))
    labels = np.concatenate([labels, np.full(n_cut, "Normal")])
    radii = forms.normal(1, 0.06, len(labels)).clip(0.8, 1.2)
    radii *= DIAMETER / 2 * np.array([_SIZE[label] for label in labels])
    places = _places(layout, radii, n_cut, size, overlap)

    density, clumps = np.zeros((2, *size), np.float32)
    for place, radius, label in zip(places, radii, labels, strict=True):
        _add_cell(density, place, radius, label, forms)
    # One platelet to about fifteen cells.
    n_spots = layout.poisson(len(labels) / 15)
    spots = layout.uniform((0, 0), (width, height), (n_spots, 2))
    widths = layout.uniform(0.1, 0.2, n_spots) * DIAMETER
    for place, radius in zip(spots, widths, strict=True):
        waves = (0.15, 0.1, 0.08)
        where, _, d = _outline(size, place, radius, 1.8, waves, forms)
        grain = forms.uniform(0.6, 1.2, d.shape).astype(np.float32)
        clumps[where] += step(d, 1, 0.6) * grain

    def circles(places, radii, **more):
        x, y = places.T
        return pd.DataFrame({"x": x, "y": y, "radius": radii, **more})

    platelets = circles(spots, widths, kind="platelet")
    cut = circles(places[n:], radii[n:], kind="cut cell")
    return Smear(
        image=_photograph(density, clumps, stain, light, noise),
        cells=circles(places[:n], radii[:n], label=labels[:n]),
        distractors=pd.concat([platelets, cut], ignore_index=True),
        name=name,
    )


def draw_smears(
    scale: float = 1.0, seed: int = 0, **varied: float
) -> list[Smear]:
    """Draw the smears of one set, 3,392 cells on 22 photographs at scale 1.

    scale: share of the cells and of the photographs, in (0, 1]; five
    photographs at least. The two rare classes are spread unevenly over the
    smears, as patients are. varied: overlap and noise, see ``draw_smear``.
    Raises ValueError for another scale.
    """
    plan = _plan(scale, seed)
    size = _size_for(np.mean([sum(counts.values()) for counts in plan]))

    def draw(number: int) -> Smear:
        # Unlike those of single smears drawn with a small seed.
        one = {"seed": 1_000_003 * (seed + 1) + number}
        one |= {"size": size, "name": f"smear {number + 1:02d}"}
        return draw_smear(plan[number], **one, **varied)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(draw, range(len(plan))))


def load_smears(
    image_size: int = CROP,
    scale: float = 1.0,
    seed: int = 0,
    cells: str = "labelled",
) -> ImageDataset:
    """Cut the cells out, one image a cell, grouped by smear.

    cells: "labelled", squares of ``CROP`` pixels around the true centres,
    black beyond the photograph, resized to image_size; "labelled circles",
    the true circles cut and padded as Algorithm 1 does; or "detected", the
    circles that Algorithm 1 finds (``segment``). These have the label of the
    true cell that ``detection.compare`` pairs them with; those without one
    are left out, and provenance counts them and the cells that are missed.

    ``facts`` has the smear, x, y and radius of each cell. Raises ValueError
    for an image_size below 8, and as ``draw_smears`` does.
    """
    if not isinstance(image_size, int) or image_size < 8:
        raise ValueError(
            f"image_size: expected 8 pixels or more, got {image_size!r}"
        )
    smears = draw_smears(scale, seed)
    images, tables = zip(
        *(_cut(smear, image_size, cells) for smear in smears), strict=True
    )
    table = pd.concat(tables)
    known = {} if cells == "labelled" else {"cells": cells}
    used = table["label"].notna().to_numpy()
    if cells == "detected":
        n_true = sum(len(smear.cells) for smear in smears)
        known |= {"circles": len(used), "without_label": int((~used).sum())}
        known |= {"missed": n_true - int(used.sum())}
    table = table[used]
    files = table["smear"] + "/" + (table.index + 1).astype(str)
    return from_arrays(
        NAME,
        np.concatenate(images)[used],
        table["label"].map(CLASS_NAMES.index),
        CLASS_NAMES,
        groups=table["smear"].to_numpy(str),
        files=files.to_numpy(str),
        facts=table[["smear", *CIRCLE]].reset_index(drop=True),
        group_rule="smear",
        origin="drawn by helpers/data/synthetic/smears.py",
        licence="MIT",
        crop=CROP,
        scale=scale,
        seed=seed,
        **known,
    )


def _cut(smear: Smear, side: int, how: str) -> tuple:
    """Images (n, side, side, 3) of a smear's cells, and a row for each.

    The label of a detected circle without a true cell is missing.
    """
    cells = smear.cells
    if how == "labelled":
        kernel = cv2.INTER_AREA if side < CROP else cv2.INTER_CUBIC
        places = cells[["x", "y"]].to_numpy()
        squares = [cut_square(smear.image, x, y, CROP) for x, y in places]
        images = [
            cv2.resize(square, (side, side), interpolation=kernel)
            for square in squares
        ]
        return np.stack(images), cells.assign(smear=smear.name)
    steps = segment(smear.image, side=side)
    if how == "detected":
        shape = smear.image.shape
        found = detection.compare(steps.found, cells, shape).found
        label = cells["label"].reindex(found["cell"]).to_numpy()
        cells = found[CIRCLE].assign(label=label)
    else:
        steps = replace(steps, circles=cells[CIRCLE] * steps.ratio)
    return steps.cells, cells.assign(smear=smear.name)


def _plan(scale: float, seed: int) -> list[dict[str, int]]:
    """Counts of each class on each smear."""
    check_settings(scale, seed)
    n = max(FEWEST_SMEARS, round(scale * N_SMEARS))
    totals = {c: max(n, round(scale * k)) for c, k in COUNTS.items()}
    rng = np.random.default_rng((seed, 1))
    normal = totals["Normal"]
    dealt = {"Normal": normal // n + (np.arange(n) < normal % n)}
    for rare in ("Codocyte", "Hypochromia"):
        share = rng.dirichlet(np.full(n, 2.0))
        dealt[rare] = 1 + rng.multinomial(totals[rare] - n, share)
    return [{c: int(dealt[c][i]) for c in CLASS_NAMES} for i in range(n)]


def _size_for(n_cells: float) -> tuple[int, int]:
    """Height and width, 3 : 4, in which cells have the usual crowding."""
    area = n_cells * math.pi * (DIAMETER / 2) ** 2 / _COVER
    width = max(math.sqrt(area * 4 / 3), 3 * DIAMETER)
    return round(0.75 * width), round(width)


def _places(rng, radii, n_cut, size, overlap) -> np.ndarray:
    """Centres of all cells, (n, 2) of x, y; the last n_cut lie outside.

    First the cells that keep apart, then those laid upon one of the others.
    """
    n = len(radii)
    places = np.full((n, 2), np.inf)
    inside = np.arange(n) < n - n_cut
    lone = (rng.random(n) >= overlap) | ~inside
    # One at least must lie before others can be laid upon it.
    lone[0] = True
    order = np.concatenate([np.flatnonzero(lone), np.flatnonzero(~lone)])
    far = np.array((size[1], size[0]))
    for rank, i in enumerate(order):
        laid = order[:rank]
        # How far beyond the border the centre of a cell that it cuts may be.
        rim = 0 if inside[i] else 0.9 * radii[i]
        for _ in range(20_000):
            if lone[i]:
                place, near = rng.uniform((-rim, -rim), far + rim), _GAP
            else:
                place, near = _upon(rng, places, radii, laid, i), _CLOSEST
            within = (place >= 0).all() and (place < far).all()
            gaps = np.hypot(*(places[laid] - place).T)
            apart = (gaps >= near * (radii[laid] + radii[i])).all()
            if apart and within == inside[i]:
                places[i] = place
                break
        else:
            raise ValueError(
                f"no place is left for cell {rank + 1} of {n} on "
                f"{size[1]} × {size[0]} px; draw fewer cells, or a larger size"
            )
    return places


def _upon(rng, places, radii, laid, i) -> np.ndarray:
    """A place at which a cell overlaps or just touches a laid one."""
    other = rng.choice(laid)
    reach = rng.uniform(_CLOSEST, _TOUCHING) * (radii[other] + radii[i])
    angle = rng.uniform(0, 2 * np.pi)
    return places[other] + reach * np.array((np.cos(angle), np.sin(angle)))


def _outline(shape, place, radius: float, reach: float, waves, rng):
    """Slices of up to reach radii round a place, offsets (dx, dy), distance.

    The distance is in units of a wavy radius of equal area. waves: amplitudes
    of two waves around it (an ellipse), three ...
    """
    far = reach * radius
    where, dy, dx = window(place[::-1], far, far + 2, shape)
    angle = np.arctan2(dy, dx)
    wave, area = np.ones_like(angle), 1.0
    for k, deviation in enumerate(waves, start=2):
        amplitude, phase = abs(rng.normal(0, deviation)), rng.uniform(0, 7)
        wave += np.float32(amplitude) * np.cos(k * angle + np.float32(phase))
        area += amplitude**2 / 2
    scale = np.float32(radius / math.sqrt(area))
    return where, (dx, dy), np.hypot(dx, dy) / (scale * wave)


def _add_cell(density, place, radius: float, label: str, rng) -> None:
    """Lay a cell's thickness (1: that of its rim) on the others'."""
    waves = (0.035, 0.015, 0.010)
    where, (dx, dy), d = _outline(
        density.shape, place, radius, 1.3, waves, rng
    )
    thickness = step(d, 1, 0.16) * np.float32(rng.normal(1, 0.06))
    # The pale centre lies a little beside the middle.
    shift = np.float32(rng.normal(0, 0.05 * radius, 2))
    e = np.hypot(dx - shift[0], dy - shift[1]) / np.float32(radius)
    if label == "Codocyte":
        ring, width = rng.uniform(0.48, 0.60), rng.uniform(0.15, 0.21)
        pale = np.exp(-(((e - ring) / width) ** 2)) * rng.uniform(0.3, 0.75)
    else:
        wide = label == "Hypochromia"
        edge = rng.uniform(0.56, 0.76) if wide else rng.uniform(0.28, 0.56)
        depth = rng.uniform(0.50, 0.85) if wide else rng.uniform(0.15, 0.6)
        pale = step(e, edge, rng.uniform(0.35, 0.6)) * depth
    density[where] += thickness * (1 - pale.astype(np.float32))


def _photograph(density, clumps, stain, light, noise: float) -> np.ndarray:
    """Send light through the smear and take its photograph: uint8 RGB."""
    strength = np.exp(stain.normal(-0.3, 0.5))
    colour = _EOSIN * np.exp(stain.normal(0, 0.15, 3)) * strength
    lamp = _LIGHT * np.exp(stain.normal(0, 0.05, 3))
    spots = _AZURE * np.exp(stain.normal(0, 0.1, 3))
    depth = density[..., None] * colour.astype(np.float32)
    depth += clumps[..., None] * spots.astype(np.float32)
    image = np.exp(-depth) * lamp.astype(np.float32)
    y, x = (np.linspace(-1, 1, k, dtype=np.float32) for k in density.shape)
    angle, slope = light.uniform(0, 2 * np.pi), light.uniform(0, 0.12)
    fall = light.uniform(0, 0.15) / 2
    even = 1 + slope * (math.cos(angle) * x + math.sin(angle) * y[:, None])
    even -= fall * (x**2 + y[:, None] ** 2)
    image *= even[..., None]
    image = cv2.GaussianBlur(image, (0, 0), light.uniform(0.7, 1.5)) * 255
    image += light.standard_normal(image.shape, np.float32) * np.float32(noise)
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)
