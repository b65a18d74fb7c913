"""Synthetic skin with a known number of inflammatory lesions, its grade.

The grades are those of Hayashi et al. 2008, "Establishment of grading
criteria for acne severity", J. Dermatol. 35:255-260,
doi:10.1111/j.1346-8138.2008.00462.x, who count the inflammatory eruptions
(papules and pustules) on half a face, for which an image stands.

A group is one person, photographed on several visits. The skin, its tone,
its moles, freckles and hairs and the lamp stay the same; the lesions, a flush
of the whole skin, glare, the angle of the light and the grade are drawn anew,
so that recognising the person does not give the grade away. Nor does the mean
colour: lesions vary in strength, and a flush reddens as much as many lesions.
"""

import copy
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pandas as pd

from helpers.data.dataset import ImageDataset, from_arrays
from helpers.data.synthetic import check_settings, skin

NAME = "synthetic_severity"
COUNTS = {"mild": 320, "moderate": 160, "severe": 80, "very severe": 40}
"""Images of each grade at scale 1, halved from grade to grade."""
GRADES = tuple(COUNTS)

FEWEST, MOST = (0, 6, 21, 51), (5, 20, 50, 90)
"""Lesions of each grade (Hayashi et al. 2008); the last has no upper end."""

SIDE = skin.SIDE
"""Side in pixels at which images are drawn; none can be larger."""
RADIUS = 5.5 / SIDE
"""Of a lesion, about, as share of the image's side."""
# Lesions keep apart and off the border by so much.
_GAP, _MARGIN = 13 / SIDE, 8 / SIDE

# Streams of random numbers; a change in one leaves the others as they are.
_PLAN, _PERSON, _LAYOUT, _VISIT = range(4)


LIGHTS = {
    "usual": ((0.05, 0.60), skin.EVERYDAY, (0.80, 1.15), (15, 40)),
    "shifted": ((0.65, 0.95), ("bulb", "shade"), (1.25, 1.60), (50, 65)),
}
"""What light= stands for: the ranges of the skin's tone (0, pale, to 1), the
lamps, the ranges of exposure (1 is neutral) and of the light's slant (degrees
from the camera's axis). The two share no tone, lamp or exposure."""


def load_severity(
    image_size: int = 64,
    scale: float = 1.0,
    seed: int = 0,
    light: str = "usual",
) -> ImageDataset:
    """Draw the set: 600 images of 4 grades at scale 1, grouped by person.

    image_size: side in pixels, 8 to 224; smaller images are those of 224
    ``reduced``. scale: share of each grade, in (0, 1], five images at least;
    a smaller set is a part of a larger one. seed: another one draws other
    persons. light: "usual" or "shifted": other tones and light on the same
    skin with the same lesions.

    ``facts`` has person, tone (0-1), skin_tone (I-II, III-IV, V-VI), moles,
    freckles (of which some lie beyond the border), hairs (whether there are
    any), visit, n_lesions, light, exposure, flush (optical density of blood)
    and glare (the number of shiny spots).

    Raises ValueError for arguments outside these ranges.
    """
    check_settings(scale, seed)
    if not isinstance(image_size, int) or not 8 <= image_size <= SIDE:
        raise ValueError(
            f"image_size: expected 8 to {SIDE} pixels, got {image_size!r}"
        )
    if light not in LIGHTS:
        raise ValueError(f"light={light!r} is none of {', '.join(LIGHTS)}")
    plan = _plan(scale, seed)
    with ThreadPoolExecutor(2) as pool:
        each = pool.map(
            lambda visits: _draw_person(visits[1], seed, light),
            plan.groupby("person"),
        )
        images, facts = zip(*sum(each, []), strict=True)
    facts = pd.DataFrame(facts)
    return from_arrays(
        NAME,
        reduced(np.stack(images), image_size),
        plan["label"],
        GRADES,
        groups=facts["person"].to_numpy(str),
        files=plan["file"].to_numpy(str),
        facts=facts,
        group_rule="person",
        origin="drawn by helpers/data/synthetic/severity.py",
        licence="MIT",
        scale=scale,
        seed=seed,
        light=light,
    )


def reduced(images: np.ndarray, image_size: int) -> np.ndarray:
    """Smaller images: each pixel the mean of the area it covers.

    images: (N, H, H, 3) or (N, H, H), uint8 or float32; returns the same
    dtype, image_size pixels a side. Raises ValueError where image_size is
    larger than they are.
    """
    if image_size > images.shape[1]:
        raise ValueError(
            f"image_size={image_size}: the images have {images.shape[1]} "
            "pixels a side and no more detail"
        )
    size = (image_size, image_size)
    return np.stack(
        [cv2.resize(x, size, None, 0, 0, cv2.INTER_AREA) for x in images]
    )


def lesions(dataset: ImageDataset) -> pd.DataFrame:
    """Where the counted lesions of a loaded set are, a row a lesion.

    Columns: image (row of the data set); x, y (centre) and radius, as shares
    of the image's side; kind, "papule" or "pustule". The redness of a lesion
    fades out at about twice its radius. Raises ValueError for another set.
    """
    if dataset.name != NAME:
        raise ValueError(
            f"dataset: {dataset.name!r} was not drawn by load_severity, so "
            "nobody knows where its lesions are"
        )
    scale, seed = (dataset.provenance[key] for key in ("scale", "seed"))
    plan = _plan(scale, seed).set_index("file").loc[dataset.files]
    tables = [
        _layout(seed, *visit).assign(image=row)
        for row, visit in enumerate(plan.itertuples(index=False))
    ]
    columns = ["image", "x", "y", "radius", "kind"]
    return pd.concat(tables, ignore_index=True)[columns]


def lesion_maps(dataset: ImageDataset, side: int) -> np.ndarray:
    """The share of each pixel that lesions cover, to score maps by.

    Returns float32 (N, side, side), 0 to 1: the discs of ``lesions`` drawn at
    ``SIDE`` and ``reduced``. Raises ValueError for another data set.
    """
    maps = np.zeros((len(dataset), side, side), np.float32)
    axis = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE
    for image, spots in lesions(dataset).groupby("image"):
        fine = np.zeros((1, SIDE, SIDE), np.float32)
        for spot in spots.itertuples():
            away = np.hypot(axis[:, None] - spot.y, axis - spot.x)
            fine[0, away <= spot.radius] = 1
        maps[image] = reduced(fine, side)[0]
    return maps


def _plan(scale: float, seed: int) -> pd.DataFrame:
    """Person, visit, label and file of each image, a row an image.

    Grades are dealt like cards, so that persons of a smaller scale and
    their grades are those of the full set.
    """
    rng = np.random.default_rng((seed, _PLAN))
    counts = np.array([*COUNTS.values()])
    labels = rng.permutation(np.repeat(range(len(GRADES)), counts))
    visits = rng.integers(2, 7, len(labels))
    person = np.repeat(np.arange(len(labels)), visits)[: len(labels)]
    plan = pd.DataFrame({"person": person, "label": labels})
    plan.insert(1, "visit", plan.groupby("person").cumcount())
    plan["file"] = [
        f"person {person + 1:03d}/visit {visit + 1}"
        for person, visit in zip(plan["person"], plan["visit"], strict=True)
    ]
    # Five folds need five images of each grade at any scale.
    wanted = np.maximum(5, np.round(scale * counts))
    kept = plan.groupby("label").cumcount() < wanted[labels]
    return plan[kept].reset_index(drop=True)


def _layout(seed, person, visit, label) -> pd.DataFrame:
    """The lesions of one image: x, y, radius (shares of a side), kind."""
    rng = np.random.default_rng((seed, _LAYOUT, person, visit))
    count = int(rng.integers(FEWEST[label], MOST[label] + 1))
    places = np.empty((count, 2))
    laid = 0
    while laid < count:
        place = rng.uniform(_MARGIN, 1 - _MARGIN, 2)
        if (np.hypot(*(places[:laid] - place).T) >= _GAP).all():
            places[laid] = place
            laid += 1
    usual = RADIUS * np.exp(rng.normal(0, 0.18))
    radius = usual * rng.uniform(0.7, 1.35, count)
    ripe = rng.random(count) < rng.uniform(0.1, 0.7)
    kind = np.where(ripe, "pustule", "papule")
    x, y = places.T
    return pd.DataFrame({"x": x, "y": y, "radius": radius, "kind": kind})


def _draw_person(visits: pd.DataFrame, seed, light) -> list:
    """Images, uint8 (SIDE, SIDE, 3), and facts of a person's visits."""
    person = int(visits["person"].iloc[0])
    tones, lamps, (dim, full), slants = LIGHTS[light]
    rng = np.random.default_rng((seed, _PERSON, person))
    tone = rng.uniform(*tones)
    lamp, bright = rng.random(2)
    lamp = lamps[int(lamp * len(lamps))]
    patch = skin.healthy_skin(rng, tone)
    n_moles = int(rng.integers(0, 5))
    n_freckles = int(rng.integers(0, 30)) if rng.random() < 0.6 else 0
    hairy = rng.random() < 0.5
    skin.moles(patch, rng, n_moles)
    skin.freckles(patch, rng, n_freckles)
    if hairy:
        skin.hairs(patch, rng)
    same = {"person": f"person {person + 1:03d}", "tone": tone}
    same |= {"skin_tone": skin.skin_type(tone), "moles": n_moles}
    same |= {"freckles": n_freckles, "hairs": hairy}
    drawn = []
    for visit, label in visits[["visit", "label"]].to_numpy():
        table = _layout(seed, person, visit, label)
        rng = np.random.default_rng((seed, _VISIT, person, visit))
        # The person's lamp, its brightness a little changed.
        share = 0.7 * bright + 0.3 * rng.random()
        today = skin.Light(
            temperature=lamp,
            azimuth=rng.uniform(0, 360),
            slant=rng.uniform(*slants),
            ambient=rng.uniform(0.45, 0.65),
            exposure=dim + share * (full - dim),
            vignette=rng.uniform(0.0, 0.3),
            # The camera takes means over areas; that is blur enough.
            blur=0.0,
        )
        flush = rng.uniform(0, 0.45)
        visited, glare = _on_a_visit(patch, rng, flush)
        _erupt(visited, table, rng)
        facts = same | {"visit": int(visit) + 1, "n_lesions": len(table)}
        facts |= {"light": today.name, "exposure": today.exposure}
        facts |= {"flush": flush, "glare": glare}
        drawn.append((np.asarray(skin.render(visited, today)), facts))
    return drawn


def _on_a_visit(patch: skin.Skin, rng, flush: float) -> tuple[skin.Skin, int]:
    """A copy of the skin, flushed and with spots of oil that shine."""
    patch = copy.copy(patch)
    patch.blood = patch.blood + np.float32(flush) * (1 + 0.3 * patch.wobble)
    patch.oil = patch.oil.copy()
    glare = int(rng.integers(0, 4))
    axis = np.arange(SIDE, dtype=np.float32)
    for _ in range(glare):
        place = rng.uniform(0, SIDE, 2).astype(np.float32)
        width = np.float32(rng.uniform(10, 30))
        row, column = (np.exp(-(((axis - c) / width) ** 2)) for c in place)
        strength = np.float32(rng.uniform(0.3, 1.2))
        patch.oil += strength * row[:, None] * column
    return patch, glare


def _erupt(patch: skin.Skin, table: pd.DataFrame, rng) -> None:
    """Add a visit's lesions, from faint to vivid, to a skin."""
    bumps = skin.Skin(patch.tone, patch.wobble)
    draw = {"papule": skin.papule, "pustule": skin.pustule}
    vivid = np.float32(rng.uniform(0.6, 1.1))
    for x, y, radius, kind in table.itertuples(index=False):
        place = (y * SIDE - 0.5, x * SIDE - 0.5)
        draw[kind](bumps, rng, place, radius * SIDE)
    for name in skin.LAYERS:
        layer = getattr(patch, name) + vivid * getattr(bumps, name)
        setattr(patch, name, layer)
