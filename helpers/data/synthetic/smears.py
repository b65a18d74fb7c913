"""Synthetic blood-smear photographs, every cell's place known.

Three classes, in the counts of Pasupa et al.,
doi:10.1007/s12652-020-01773-x: 2,691 normal cells with a pale centre, 345
codocytes (target cells: a dark spot inside a pale ring) and 356 hypochromic
cells (a wide pale centre) on 22 photographs. Their dog set was never
published; this one needs no download and has an exact ground truth.

A cell is a map of its thickness. Light that passes it is absorbed by the
Beer-Lambert law, so that stain gives the colour and overlapping cells darken
each other without anybody drawing that. Stain, light, focus and noise differ
from smear to smear. The images teach detection and imbalance, not
haematology.
"""

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from helpers.data.dataset import ImageDataset, from_arrays
from helpers.data.segmentation import cut_square
from helpers.data.synthetic.drawing import check_settings, step, window

NAME = "synthetic_smears"
CLASS_NAMES = ("Codocyte", "Hypochromia", "Normal")
"""In the paper's order: its classes 0, 1 and 2."""

COUNTS = {"Codocyte": 345, "Hypochromia": 356, "Normal": 2691}
N_SMEARS = 22
FEWEST_SMEARS = 5
"""Five folds by smear need five smears at any scale."""

DIAMETER = 42.0
"""Of a normal cell, in pixels; as in Chula RBC-12."""

CROP = 64
"""Side in pixels of the square cut out around a cell, which holds the
largest one whole, with a rim of its neighbours."""

# Share of a photograph that cells would cover if none overlapped.
_COVER = 0.30
# Two cells that do not touch keep this much of the sum of their radii.
_GAP = 1.1
# Overlapping and touching ones: from 0.55 (deeply) to 1.02 (just touching).
_CLOSEST, _TOUCHING = 0.55, 1.02

# Optical density of a cell's rim and of a platelet in R, G, B, and the light
# without a cell; each smear has its own beside these.
_EOSIN = np.float32((0.28, 0.62, 0.42))
_AZURE = np.float32((0.75, 1.05, 0.55))
_LIGHT = np.float32((0.68, 0.74, 0.72))

# Mean diameter of each class, in normal ones.
_SIZE = {"Codocyte": 1.06, "Hypochromia": 0.97, "Normal": 1.0}


@dataclass(frozen=True, eq=False)
class Smear:
    """A synthetic photograph and all that is on it.

    image: (H, W, 3) uint8, RGB. cells: a row a cell, with x, y and radius in
    pixels (radius of the circle of equal area, centre within the image)
    and label, one of ``CLASS_NAMES``. distractors: x, y, radius and kind,
    "platelet" or "cut cell" (a cell whose centre lies beyond the border).
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
    overlap: share of the cells that are laid upon another one or touch it;
    0 keeps every two cells apart. noise: standard deviation of the camera's
    noise in grey levels. size: height and width in pixels; None makes the
    photograph, of sides 3 : 4, as large as the cells need for the usual
    crowding. The same seed gives the same photograph on one machine, and the
    same stain and light whatever overlap and noise are.

    Raises ValueError for an unknown class, no cells, a share outside [0, 1],
    a negative noise, and where the cells do not fit.
    """
    known = set(counts) <= set(CLASS_NAMES) and sum(counts.values()) > 0
    if not known or min(counts.values()) < 0:
        raise ValueError(
            f"counts: expected cells of {', '.join(CLASS_NAMES)}, one at "
            f"least, got {dict(counts)}"
        )
    if not 0 <= overlap <= 1:
        raise ValueError(f"overlap={overlap} must lie in [0, 1]")
    if noise < 0:
        raise ValueError(f"noise={noise} must not be negative")
    layout, forms, stain, light = (
        np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4)
    )
    labels = np.repeat(list(counts), list(counts.values()))
    labels = layout.permutation(labels)
    size = size or _size_for(len(labels))
    # Cells whose centre lies beyond the border, as crowded as elsewhere.
    rim = (size[0] + DIAMETER) * (size[1] + DIAMETER) / (size[0] * size[1])
    n_cut = round(len(labels) * (rim - 1))
    labels = np.concatenate([labels, np.full(n_cut, "Normal")])
    radii = forms.normal(1, 0.06, len(labels)).clip(0.8, 1.2)
    radii *= DIAMETER / 2 * np.array([_SIZE[label] for label in labels])
    places = _places(layout, radii, n_cut, size, overlap)

    density, clumps = np.zeros((2, *size), np.float32)
    for place, radius, label in zip(places, radii, labels, strict=True):
        _add_cell(density, place, radius, label, forms)
    # One platelet to about fifteen cells.
    n = layout.poisson(len(labels) / 15)
    spots = layout.uniform((0, 0), (size[1], size[0]), (n, 2))
    widths = layout.uniform(0.1, 0.2, n) * DIAMETER
    for place, radius in zip(spots, widths, strict=True):
        _add_platelet(clumps, place, radius, forms)

    def circles(places, radii, **more):
        x, y = places.T
        return pd.DataFrame({"x": x, "y": y, "radius": radii, **more})

    n = len(labels) - n_cut
    distractors = [
        circles(spots, widths, kind="platelet"),
        circles(places[n:], radii[n:], kind="cut cell"),
    ]
    return Smear(
        image=_photograph(density, clumps, stain, light, noise),
        cells=circles(places[:n], radii[:n], label=labels[:n]),
        distractors=pd.concat(distractors, ignore_index=True),
        name=name,
    )


def draw_smears(
    scale: float = 1.0,
    seed: int = 0,
    overlap: float = 0.15,
    noise: float = 3.0,
) -> list[Smear]:
    """Draw the smears of one set, 3,392 cells on 22 photographs at scale 1.

    scale: share of the cells and of the photographs, in (0, 1]; five
    photographs at least. The two rare classes are spread unevenly over the
    smears, as patients are. overlap, noise: see ``draw_smear``. Raises
    ValueError for another scale.
    """
    plan = _plan(scale, seed)
    size = _size_for(np.mean([sum(counts.values()) for counts in plan]))

    def draw(number: int) -> Smear:
        # Unlike those of single smears drawn with a small seed.
        own_seed = 1_000_003 * (seed + 1) + number
        name = f"smear {number + 1:02d}"
        return draw_smear(plan[number], own_seed, overlap, noise, size, name)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(draw, range(len(plan))))


def load_smears(
    image_size: int = CROP, scale: float = 1.0, seed: int = 0
) -> ImageDataset:
    """Cut the cells out, one image a cell, grouped by smear.

    A square of ``CROP`` pixels around the true centre, so that the size of a
    cell is told; what lies beyond the border of the photograph is black, as
    the zero-padding of the paper's Algorithm 1. It is resized to image_size
    (averages where smaller, cubic where larger).

    ``facts`` has the smear, x, y and radius of each cell. scale, seed: see
    ``draw_smears``. Raises ValueError for an image_size below 8.
    """
    if not isinstance(image_size, int) or image_size < 8:
        raise ValueError(
            f"image_size: expected 8 pixels or more, got {image_size!r}"
        )
    smears = draw_smears(scale, seed)
    size, how = (image_size, image_size), cv2.INTER_CUBIC
    if image_size < CROP:
        how = cv2.INTER_AREA
    images = [
        cv2.resize(cut_square(s.image, x, y, CROP), size, interpolation=how)
        for s in smears
        for x, y in s.cells[["x", "y"]].to_numpy()
    ]
    cells = pd.concat([s.cells.assign(smear=s.name) for s in smears])
    groups = cells["smear"].to_numpy(str)
    place = (cells.index + 1).astype(str)
    files = (cells["smear"] + "/" + place).to_numpy(str)
    return from_arrays(
        NAME,
        np.stack(images),
        cells["label"].map(CLASS_NAMES.index),
        CLASS_NAMES,
        groups=groups,
        files=files,
        facts=cells[["smear", "x", "y", "radius"]].reset_index(drop=True),
        group_rule="smear",
        origin="drawn by helpers/data/synthetic/smears.py",
        licence="MIT",
        crop=CROP,
        scale=scale,
        seed=seed,
    )


def _plan(scale: float, seed: int) -> list[dict[str, int]]:
    """Counts of each class on each smear."""
    check_settings(scale, seed)
    n = max(FEWEST_SMEARS, round(scale * N_SMEARS))
    totals = {c: max(n, round(scale * k)) for c, k in COUNTS.items()}
    rng = np.random.default_rng((seed, 1))
    dealt = {"Normal": np.full(n, totals["Normal"] // n)}
    dealt["Normal"][: totals["Normal"] % n] += 1
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
    for rank, i in enumerate(order):
        laid = order[:rank]
        for _ in range(2000):
            near = _GAP
            if lone[i]:
                at = _anywhere(rng, size, radii[i], inside[i])
            else:
                at, near = _upon(rng, places, radii, laid, i), _CLOSEST
            if not inside[i] or _within(at, size):
                gaps = np.hypot(*(places[laid] - at).T)
                if (gaps >= near * (radii[laid] + radii[i])).all():
                    places[i] = at
                    break
        else:
            raise ValueError(
                f"no place is left for cell {rank + 1} of {n} on "
                f"{size[1]} × {size[0]} px; draw fewer cells, or a larger size"
            )
    return places


def _within(at, size) -> bool:
    return 0 <= at[0] < size[1] and 0 <= at[1] < size[0]


def _anywhere(rng, size, radius: float, inside: bool) -> np.ndarray:
    """A place in the image, or in the rim whose cells the border cuts."""
    far = np.array((size[1], size[0]))
    if inside:
        return rng.uniform((0, 0), far)
    reach = 0.9 * radius
    while _within(at := rng.uniform((-reach, -reach), far + reach), size):
        pass
    return at


def _upon(rng, places, radii, laid, i) -> np.ndarray:
    """A place at which a cell overlaps or just touches a laid one."""
    other = rng.choice(laid)
    reach = rng.uniform(_CLOSEST, _TOUCHING) * (radii[other] + radii[i])
    angle = rng.uniform(0, 2 * np.pi)
    return places[other] + reach * np.array((np.cos(angle), np.sin(angle)))


def _outline(dx, dy, radius: float, wobble, rng) -> np.ndarray:
    """Distance from the middle in units of a wavy radius of equal area.

    wobble: amplitudes of the outline's waves, two around it (an ellipse),
    three (a blunt triangle) and so on.
    """
    angle = np.arctan2(dy, dx)
    wave = np.ones_like(angle)
    area = 1.0
    for k, deviation in enumerate(wobble, start=2):
        amplitude, phase = abs(rng.normal(0, deviation)), rng.uniform(0, 7)
        wave += np.float32(amplitude) * np.cos(k * angle + np.float32(phase))
        area += amplitude**2 / 2
    scale = np.float32(radius / math.sqrt(area))
    return np.hypot(dx, dy) / (scale * wave)


def _add_cell(density, place, radius: float, label: str, rng) -> None:
    """Lay a cell's thickness (1: that of its rim) on the others'."""
    reach = 1.3 * radius
    where, dy, dx = window(place[::-1], reach, reach + 2, density.shape)
    d = _outline(dx, dy, radius, (0.035, 0.015, 0.010), rng)
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


def _add_platelet(clumps, place, radius: float, rng) -> None:
    reach = 1.8 * radius
    where, dy, dx = window(place[::-1], reach, reach + 2, clumps.shape)
    d = _outline(dx, dy, radius, (0.15, 0.1, 0.08), rng)
    grain = rng.uniform(0.6, 1.2, d.shape).astype(np.float32)
    clumps[where] += step(d, 1, 0.6) * grain


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
