"""Synthetic skin with a known number of inflammatory lesions, its grade.

The grades are those of Hayashi et al. 2008, "Establishment of grading
criteria for acne severity", J. Dermatol. 35:255-260,
doi:10.1111/j.1346-8138.2008.00462.x, who count the inflammatory eruptions
on half a face: mild 0-5, moderate 6-20, severe 21-50, very severe more than
50.  An image stands for that half face.  Papules and pustules are counted;
moles, freckles, hair and glare are not, and say nothing of the grade.

A group is one person, photographed on several visits: the skin, its tone,
its moles, freckles and hairs and the lamp stay the same; the lesions, a flush
of the whole skin, glare and the angle of the light are drawn anew, and so is
the grade, so that recognising the person does not give it away.  Sets split
by person still differ in tone and light.  Lesions vary in size and strength
from visit to visit, and a flush can redden skin as much as many lesions do,
so that the mean colour says little of the grade.

The images teach imbalance and resolution, not dermatology.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pandas as pd

from helpers.data.dataset import ImageDataset, from_arrays
from helpers.data.synthetic import skin
from helpers.data.synthetic.drawing import check_settings

NAME = "synthetic_severity"
COUNTS = {"mild": 320, "moderate": 160, "severe": 80, "very severe": 40}
"""Images of each grade at scale 1, halved from grade to grade."""
GRADES = tuple(COUNTS)

FEWEST = (0, 6, 21, 51)
"""The fewest inflammatory lesions of each grade (Hayashi et al. 2008)."""
MOST = (5, 20, 50, 90)
"""The most; the fourth grade itself has no upper end."""

SIDE = skin.SIDE
"""Side in pixels at which images are drawn; none can be larger."""
RADIUS = 5.5 / SIDE
"""Of a lesion at lesion_size 1, about, as share of the image's side."""
# Lesions keep apart and off the border by so much, whatever their size.
_GAP, _MARGIN = 13 / SIDE, 8 / SIDE

# Streams of random numbers; a change in one leaves the others as they are.
_PLAN, _PERSON, _LAYOUT, _VISIT = range(4)


@dataclass(frozen=True)
class Conditions:
    """The ranges from which skin and light are drawn evenly.

    tone: 0 (pale) to 1 (dark), one a person; temperatures: names in
    ``skin.TEMPERATURES``, one a person; exposure: 1 is neutral; slant:
    degrees from the camera's axis.
    """

    tone: tuple[float, float]
    temperatures: tuple[str, ...]
    exposure: tuple[float, float]
    slant: tuple[float, float]


LIGHTS = {
    "usual": Conditions((0.05, 0.60), skin.EVERYDAY, (0.80, 1.15), (15, 40)),
    "shifted": Conditions(
        (0.65, 0.95), ("bulb", "shade"), (1.25, 1.60), (50, 65)
    ),
}
"""What light= stands for; the two share no tone, exposure or lamp."""


def load_severity(
    image_size: int = 64,
    scale: float = 1.0,
    seed: int = 0,
    lesion_size: float = 1.0,
    light: str = "usual",
) -> ImageDataset:
    """Draw the set: 600 images of 4 grades at scale 1.

    image_size: side in pixels, 8 to 224 (``SIDE``, at which all is drawn);
    smaller images are area means, so ``reduced`` gives them as well.
    scale: share of each grade, in (0, 1], five images at least; a smaller
    set is a part of a larger one. seed: another seed draws other persons,
    so a second set is an independent test set. lesion_size: factor on all
    diameters, in (0, 3]; the number, the places and all else stay. light:
    "usual" or "shifted" (``LIGHTS``): other tones and light on the same
    skin with the same lesions.

    Labels are ``GRADES``, groups the persons. ``facts`` has person, tone
    (0-1), skin_tone (I-II, III-IV, V-VI), moles, freckles (of which some lie
    beyond the border), hairs (whether there are any), visit, n_lesions,
    light, exposure, flush (optical density of blood) and glare (the number
    of shiny spots). The lesions themselves: see ``lesions``.

    Raises ValueError for arguments outside these ranges.
    """
    check_settings(scale, seed)
    if not isinstance(image_size, int) or not 8 <= image_size <= SIDE:
        raise ValueError(
            f"image_size: expected 8 to {SIDE} pixels, got {image_size!r}"
        )
    if not 0 < lesion_size <= 3:
        raise ValueError(f"lesion_size={lesion_size} must lie in (0, 3]")
    if light not in LIGHTS:
        raise ValueError(f"light={light!r} is none of {', '.join(LIGHTS)}")
    plan = _plan(scale, seed)
    with ThreadPoolExecutor(2) as pool:
        each = pool.map(
            lambda own: _draw_person(own[1], seed, lesion_size, light),
            plan.groupby("person"),
        )
        images, facts = zip(*sum(each, []), strict=True)
    facts = pd.DataFrame(facts)
    files, groups = plan["file"].to_numpy(str), facts["person"].to_numpy(str)
    return from_arrays(
        NAME,
        reduced(np.stack(images), image_size),
        plan["label"],
        GRADES,
        groups=groups,
        files=files,
        facts=facts,
        group_rule="person",
        origin="drawn by helpers/data/synthetic/severity.py",
        licence="MIT",
        scale=scale,
        seed=seed,
        lesion_size=lesion_size,
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

    Columns: image (row of the data set), x, y (centre), radius, all three as
    shares of the image's side, x to the right and y down; kind, "papule" or
    "pustule". A lesion's outline wobbles around that radius; its redness
    fades out at about twice of it. Raises ValueError for another data set.
    """
    if dataset.name != NAME:
        raise ValueError(
            f"dataset: {dataset.name!r} was not drawn by load_severity, so "
            "nobody knows where its lesions are"
        )
    scale, seed, lesion_size = (
        dataset.provenance[key] for key in ("scale", "seed", "lesion_size")
    )
    plan = _plan(scale, seed).set_index("file").loc[dataset.files]
    tables = [
        _layout(seed, *visit, lesion_size).assign(image=row)
        for row, visit in enumerate(plan.itertuples(index=False))
    ]
    columns = ["image", "x", "y", "radius", "kind"]
    return pd.concat(tables, ignore_index=True)[columns]


def lesion_maps(dataset: ImageDataset, side: int | None = None) -> np.ndarray:
    """The share of each pixel that lesions cover, to score maps by.

    side: pixels a side of the maps, such as those of a feature map; default
    the images' own. Returns float32 (N, side, side), 0 to 1: the discs of
    ``lesions`` drawn at ``SIDE`` and reduced by area. Raises ValueError for
    another data set and for a side beyond 1 to 224.
    """
    side = dataset.images.shape[1] if side is None else side
    if not 1 <= side <= SIDE:
        raise ValueError(f"side={side} must lie between 1 and {SIDE}")
    maps = np.zeros((len(dataset), side, side), np.float32)
    at = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE
    for image, spots in lesions(dataset).groupby("image"):
        fine = np.zeros((1, SIDE, SIDE), np.float32)
        for spot in spots.itertuples():
            away = np.hypot(at[:, None] - spot.y, at - spot.x)
            fine[0, away <= spot.radius] = 1
        maps[image] = reduced(fine, side)[0]
    return maps


def _rng(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(
        np.random.SeedSequence((seed, *map(int, key)))
    )


def _plan(scale: float, seed: int) -> pd.DataFrame:
    """Person, visit, label and file of each image, a row an image.

    Grades are dealt like cards, so that persons of a smaller scale and
    their grades are those of the full set.
    """
    rng, counts = _rng(seed, _PLAN), np.array([*COUNTS.values()])
    labels = rng.permutation(np.repeat(range(len(GRADES)), counts))
    visits = rng.integers(2, 7, len(labels))
    person = np.repeat(np.arange(len(labels)), visits)[: len(labels)]
    plan = pd.DataFrame({"person": person, "label": labels})
    plan.insert(1, "visit", plan.groupby("person").cumcount())
    plan["file"] = [
        f"{_name(person)}/visit {visit + 1}"
        for person, visit in zip(plan["person"], plan["visit"], strict=True)
    ]
    # Five folds need five images of each grade at any scale.
    wanted = np.maximum(5, np.round(scale * counts))
    kept = plan.groupby("label").cumcount() < wanted[labels]
    return plan[kept].reset_index(drop=True)


def _name(person: int) -> str:
    return f"person {person + 1:03d}"


def _layout(seed, person, visit, label, lesion_size) -> pd.DataFrame:
    """The lesions of one image: x, y, radius (shares of a side), kind."""
    rng = _rng(seed, _LAYOUT, person, visit)
    count = int(rng.integers(FEWEST[label], MOST[label] + 1))
    places = np.empty((count, 2))
    laid = 0
    while laid < count:
        at = rng.uniform(_MARGIN, 1 - _MARGIN, 2)
        if (np.hypot(*(places[:laid] - at).T) >= _GAP).all():
            places[laid] = at
            laid += 1
    usual = RADIUS * np.exp(rng.normal(0, 0.18))
    radius = lesion_size * usual * rng.uniform(0.7, 1.35, count)
    ripe = rng.random(count) < rng.uniform(0.1, 0.7)
    kind = np.where(ripe, "pustule", "papule")
    x, y = places.T
    return pd.DataFrame({"x": x, "y": y, "radius": radius, "kind": kind})


def _draw_person(visits: pd.DataFrame, seed, lesion_size, light) -> list:
    """Images, uint8 (SIDE, SIDE, 3), and facts of a person's visits."""
    person, ranges = int(visits["person"].iloc[0]), LIGHTS[light]
    rng = _rng(seed, _PERSON, person)
    tone = _within(ranges.tone, rng.random())
    lamp, bright = rng.random(2)
    lamp = ranges.temperatures[int(lamp * len(ranges.temperatures))]
    patch = skin.healthy_skin(rng, tone)
    known = {"person": _name(person), "tone": tone}
    known |= {"skin_tone": skin.skin_type(tone)} | _marks(patch, rng)
    drawn = []
    for visit, label in visits[["visit", "label"]].to_numpy():
        table = _layout(seed, person, visit, label, lesion_size)
        rng = _rng(seed, _VISIT, person, visit)
        # The person's lamp, its brightness a little changed.
        share = 0.7 * bright + 0.3 * rng.random()
        today = skin.Light(
            temperature=lamp,
            azimuth=rng.uniform(0, 360),
            slant=_within(ranges.slant, rng.random()),
            ambient=rng.uniform(0.45, 0.65),
            exposure=_within(ranges.exposure, share),
            vignette=rng.uniform(0.0, 0.3),
            # The camera takes means over areas; that is blur enough.
            blur=0.0,
        )
        flush = rng.uniform(0, 0.45)
        visited, glare = _on_a_visit(patch, rng, flush)
        _erupt(visited, table, rng)
        facts = known | {"visit": int(visit) + 1, "n_lesions": len(table)}
        facts |= {"light": today.name, "exposure": today.exposure}
        facts |= {"flush": flush, "glare": glare}
        drawn.append((np.asarray(skin.render(visited, today)), facts))
    return drawn


def _within(limits: tuple[float, float], share: float) -> float:
    return limits[0] + share * (limits[1] - limits[0])


def _marks(patch: skin.Skin, rng) -> dict[str, int]:
    """Put a person's moles, freckles and hairs on the skin; count them."""
    n_moles = int(rng.integers(0, 5))
    n_freckles = int(rng.integers(0, 30)) if rng.random() < 0.6 else 0
    hairy = rng.random() < 0.5
    skin.moles(patch, rng, n_moles)
    skin.freckles(patch, rng, n_freckles)
    if hairy:
        skin.hairs(patch, rng)
    return {"moles": n_moles, "freckles": n_freckles, "hairs": hairy}


def _on_a_visit(patch: skin.Skin, rng, flush: float) -> tuple[skin.Skin, int]:
    """A copy of the skin, flushed and with spots of oil that shine."""
    blood = patch.blood + np.float32(flush) * (1 + 0.3 * patch.wobble)
    glare, oil = int(rng.integers(0, 4)), patch.oil.copy()
    axis = np.arange(SIDE, dtype=np.float32)
    for _ in range(glare):
        at = rng.uniform(0, SIDE, 2).astype(np.float32)
        wide = np.float32(rng.uniform(10, 30))
        row, column = (np.exp(-(((axis - c) / wide) ** 2)) for c in at)
        oil += np.float32(rng.uniform(0.3, 1.2)) * row[:, None] * column
    return replace(patch, blood=blood, oil=oil), glare


def _erupt(patch: skin.Skin, table: pd.DataFrame, rng) -> None:
    """Add a visit's lesions, from faint to vivid, to a skin."""
    bumps = skin.Skin(patch.tone, patch.wobble)
    draw = {"papule": skin.papule, "pustule": skin.pustule}
    vivid = np.float32(rng.uniform(0.6, 1.1))
    for x, y, radius, kind in table.itertuples(index=False):
        at = (y * SIDE - 0.5, x * SIDE - 0.5)
        draw[kind](bumps, rng, at, radius * SIDE)
    for name in ("height", "blood", "pigment", "keratin", "pus", "oil"):
        layer = getattr(patch, name) + vivid * getattr(bumps, name)
        setattr(patch, name, layer)
