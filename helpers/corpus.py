"""Pictures drawn from formulas alone, to pre-train a network without photos.

Formula-driven supervised learning (Kataoka et al., Pre-training without
Natural Images, ACCV 2020, arXiv:2101.08515): a class is a formula with drawn
constants, its pictures are that formula under another pose, light, colour and
noise.  Three kinds of formula take turns:

- outline: a closed contour whose radius is a Fourier series of the angle,
  with a radial profile, edge softness and a 1/f texture, up to four at once;
- stroke: an open Fourier curve drawn by a pen, upright up to 30 degrees;
- fractal: an iterated function system, its maps drawn by singular values
  (Anderson & Farrell, Improving Fractal Pre-training, WACV 2022).

Nothing of the embedded study sets is in here: no lesion, no skin, no cell.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

KINDS = ("outline", "stroke", "fractal")

FACTORS = (
    *(f"ground {channel}" for channel in "RGB"),
    *(f"contrast {channel}" for channel in "RGB"),
    "ground roughness",
    "texture strength",
    "texture roughness",
    "log size",
    "log elongation",
    "elongation across",
    "elongation aslant",
    "log softness",
    "count",
    "blur",
)
"""What is known of each picture beside its class, each of spread about 1."""

_ANGLES, _RADII, _CURVE, _PARTICLES, _ROUNDS = 128, 64, 240, 160, 22
_MAX_COUNT = 4


class Batch(NamedTuple):
    """Pictures and what they were drawn from.

    images: uint8 (N, size, size, 3); labels: int32 (N,); factors: float32
    (N, len(FACTORS)), NaN where a factor means nothing for the formula.
    """

    images: np.ndarray
    labels: np.ndarray
    factors: np.ndarray


@dataclass(frozen=True)
class Corpus:
    """Classes of formulas and an endless, seeded stream of their pictures.

    n_classes: at least 3; class c is of the kind ``KINDS[c % 3]``.
    seed: draws the formulas; two corpora of one seed have the same classes.
    """

    n_classes: int = 240
    seed: int = 0

    def __post_init__(self):
        if self.n_classes < len(KINDS):
            raise ValueError(
                f"n_classes: at least {len(KINDS)} are needed, one of each "
                f"kind, got {self.n_classes}"
            )
        rng = np.random.default_rng([self.seed, self.n_classes])
        object.__setattr__(self, "_formulas", _Formulas(rng, self.n_classes))

    def batch(self, number: int, count: int, size: int, labels=None) -> Batch:
        """Draw batch ``number`` of ``count`` pictures, size x size pixels.

        The same numbers give the same pictures, in any order of asking.
        labels: int (count,) classes to draw; default: drawn at random.
        """
        rng = np.random.default_rng([self.seed, number, count, size])
        drawn = rng.integers(self.n_classes, size=count)
        labels = drawn if labels is None else np.asarray(labels)
        return _draw(self._formulas, labels.astype(np.int32), size, rng)


class _Formulas:
    """The drawn constants of every class, one row a class."""

    def __init__(self, rng, n):
        # Outline: R(t) = 1 + sum a_k cos(k t + p_k), lobed or smooth.
        order = np.arange(2, 10)
        falloff = rng.uniform(0.5, 2.0, (n, 1))
        lobes = rng.uniform(0.02, 0.5, (n, 1))
        self.harmonics = lobes * rng.normal(size=(n, 8)) / order**falloff
        self.phases = rng.uniform(0, 2 * np.pi, (n, 8))
        self.elongation = np.abs(rng.normal(0, 0.35, n))
        self.softness = np.exp(rng.uniform(np.log(0.02), np.log(0.4), n))
        self.count = rng.choice(_MAX_COUNT, n, p=(0.6, 0.2, 0.1, 0.1)) + 1
        # Profile: brightness along the radius, a cosine series.
        radius = np.linspace(0, 1, _RADII)
        waves = np.cos(np.pi * np.arange(1, 6)[:, None] * radius)
        weights = rng.normal(size=(n, 5)) * (1, 1, 0.7, 0.5, 0.5)
        self.profile = weights @ waves * rng.uniform(0, 0.7, (n, 1))
        # Texture: 1/f^roughness noise, stretched along the object.
        self.texture = rng.uniform(0, 1, n) ** 2
        self.roughness = rng.uniform(0.5, 3.5, n)
        self.stretch = np.exp(np.abs(rng.normal(0, 0.6, n)))
        # Every other class has a colour of its own against its ground.
        self.own_colour = rng.random(n) < 0.5
        self.colour = _unit(rng.normal(size=(n, 3)))
        # Stroke: x(t), y(t) as cosine series; the pen in parts of the side.
        decay = np.arange(1, 7) ** -0.9
        self.curve = rng.normal(size=(n, 2, 6)) * decay
        self.pen = rng.uniform(0.015, 0.05, n)
        # Fractal: 2 to 4 affine maps that contract.
        self.n_maps = rng.integers(2, 5, n)
        self.maps = _contractions(rng, (n, 4))
        self.shifts = rng.uniform(-1, 1, (n, 4, 2))


def _unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _contractions(rng, shape):
    """2 x 2 matrices with singular values below 1, (*shape, 2, 2)."""
    values = np.sort(rng.uniform(0.25, 0.85, (*shape, 2)), axis=-1)
    signs = rng.choice([-1.0, 1.0], (*shape, 2))
    left, right = (
        _rotation(rng.uniform(0, 2 * np.pi, shape)) for _ in range(2)
    )
    return left * (values * signs)[..., None, :] @ right


def _rotation(angle):
    cos, sin = np.cos(angle), np.sin(angle)
    rows = np.stack([cos, -sin], -1), np.stack([sin, cos], -1)
    return np.stack(rows, -2)


def _draw(formulas, labels, size, rng) -> Batch:
    n = len(labels)
    kind = labels % len(KINDS)
    outline = kind == 0
    grey, colour = rng.uniform(0.1, 0.9, (n, 1)), rng.uniform(0, 1, (n, 3))
    ground = grey + rng.uniform(0, 1, (n, 1)) * (colour - grey)
    any_colour = rng.normal(size=(n, 1)) + 0.5 * rng.normal(size=(n, 3))
    own = formulas.own_colour[labels, None]
    direction = np.where(own, formulas.colour[labels], _unit(any_colour))
    direction = _unit(direction + 0.2 * rng.normal(size=(n, 3)))
    contrast = direction * rng.uniform(0.15, 0.7, (n, 1))
    ground_roughness = rng.uniform(0.5, 3.5, n)
    texture = formulas.texture[labels] * rng.uniform(0.5, 1.5, n)
    roughness = formulas.roughness[labels] + rng.normal(0, 0.2, n)
    log_size = rng.uniform(np.log(0.4), np.log(0.95), n)
    elongation = formulas.elongation[labels] + np.abs(rng.normal(0, 0.1, n))
    angle = np.where(
        outline, rng.uniform(0, 2 * np.pi, n), rng.uniform(-0.5, 0.5, n)
    )
    softness = np.log(formulas.softness[labels]) + rng.normal(0, 0.2, n)
    count = np.where(outline, formulas.count[labels], 1)
    blur = rng.uniform(0, 1, n) ** 2

    pose = _Pose(np.exp(log_size), angle, elongation, count)
    cover = np.empty((n, size, size), np.float32)
    profile = np.zeros_like(cover)
    rows = np.flatnonzero(outline)
    cover[rows], profile[rows] = _outlines(
        formulas,
        labels[rows],
        pose.of(rows),
        np.exp(softness[rows]),
        size,
        rng,
    )
    for number, points in ((1, _strokes), (2, _fractals)):
        rows = np.flatnonzero(kind == number)
        cloud = points(formulas, labels[rows], rng)
        width = formulas.pen[labels[rows]] * rng.uniform(0.7, 1.5, len(rows))
        if number == 2:
            width *= 0.3
        cover[rows] = _cloud(cloud, pose.of(rows), width, size, rng)

    stretch = formulas.stretch[labels]
    inner = _noise(roughness, stretch, angle, size, rng)
    outer = _noise(ground_roughness, np.ones(n), angle, size, rng)
    tint = _unit(np.ones((2, n, 3)) + 0.7 * rng.normal(size=(2, n, 3)))
    strength = np.stack([0.25 * texture, rng.uniform(0, 0.12, n)])
    tints = (strength[..., None] * tint).astype(np.float32)
    second = _unit(direction + 0.7 * rng.normal(size=(n, 3))) * 0.35
    images = np.empty((n, size, size, 3), np.float32)
    light = _light(n, size, rng)
    spectrum = _gaussian(0.02 * blur, size)
    noise = rng.uniform(0, 0.05, n)
    for c in range(3):
        back = ground[:, c, None, None] + outer * tints[1, :, c, None, None]
        front = (ground + contrast)[:, c, None, None].astype(np.float32)
        front = front + profile * second[:, c, None, None].astype(np.float32)
        front += inner * tints[0, :, c, None, None]
        plane = (back + cover * (front - back)) * light
        images[..., c] = _filtered(plane, spectrum)
    grain = rng.standard_normal(images.shape, dtype=np.float32)
    images += grain * noise[:, None, None, None].astype(np.float32)
    images = np.clip(images * 255 + 0.5, 0, 255).astype(np.uint8)

    shaped = np.where(outline, 1.0, np.nan)
    factors = [
        *((ground - 0.5) / 0.24).T,
        *(contrast / 0.28).T,
        (ground_roughness - 2) / 0.87,
        (texture - 0.33) / 0.3,
        (roughness - 2) / 0.87,
        (log_size + 0.48) / 0.25,
        shaped * (elongation - 0.36) / 0.22,
        shaped * elongation * np.cos(2 * angle) / 0.28,
        shaped * elongation * np.sin(2 * angle) / 0.28,
        shaped * (softness + 2.4) / 0.88,
        shaped * (count - 1.7) / 1.0,
        (blur - 0.33) / 0.3,
    ]
    return Batch(images, labels, np.stack(factors, -1).astype(np.float32))


@dataclass(frozen=True)
class _Pose:
    """Size (parts of half a side), angle, elongation, objects; each (N,)."""

    size: np.ndarray
    angle: np.ndarray
    elongation: np.ndarray
    count: np.ndarray

    def of(self, rows):
        return _Pose(
            self.size[rows],
            self.angle[rows],
            self.elongation[rows],
            self.count[rows],
        )


def _outlines(formulas, labels, pose, softness, size, rng):
    """Cover and profile, each (N, size, size), of up to four objects."""
    n = len(labels)
    turn = np.arange(_ANGLES) * 2 * np.pi / _ANGLES
    waves = np.arange(2, 10)[:, None] * turn
    jitter = 1 + 0.2 * rng.normal(size=(n, 8, 1))
    series = np.cos(waves + formulas.phases[labels, :, None])
    radius = 1 + (formulas.harmonics[labels, :, None] * jitter * series).sum(1)
    radius = np.maximum(radius, 0.15).astype(np.float32)
    axis = ((np.arange(size) + 0.5) * 2 / size - 1).astype(np.float32)
    nearest = np.full((n, size, size), 9, np.float32)
    alone = pose.count == 1
    reach = np.where(alone, 1 - 0.7 * pose.size, 0.75)
    scale = pose.size * np.where(alone, 0.8, 0.45)
    for number in range(_MAX_COUNT):
        rows = np.flatnonzero(pose.count > number)
        if not len(rows):
            break
        centre = rng.uniform(-1, 1, (2, len(rows))) * reach[rows]
        angle = pose.angle[rows] + rng.normal(0, 0.15, len(rows))
        own = scale[rows] * np.exp(rng.normal(0, 0.1, len(rows)))
        wide = np.exp(pose.elongation[rows] / 2)
        cos, sin = np.cos(angle), np.sin(angle)
        across = np.stack([cos, sin]) / (own * wide)
        along = np.stack([-sin, cos]) / (own / wide)
        x, y = (
            (axis - centre[0][:, None]).astype(np.float32)[:, None, :],
            (axis - centre[1][:, None]).astype(np.float32)[:, :, None],
        )
        u, v = (
            row[0].astype(np.float32)[:, None, None] * x
            + row[1].astype(np.float32)[:, None, None] * y
            for row in (across, along)
        )
        index = np.arctan2(v, u) * np.float32(_ANGLES / (2 * np.pi))
        index = index.astype(np.int32) % _ANGLES
        index += (rows * _ANGLES).astype(np.int32)[:, None, None]
        distance = np.sqrt(u * u + v * v) / radius.ravel()[index]
        nearest[rows] = np.minimum(nearest[rows], distance)
    edge = softness[:, None, None].astype(np.float32)
    cover = np.clip((1 - nearest) / edge + 0.5, 0, 1)
    place = (np.minimum(nearest, 1) * (_RADII - 1)).astype(np.int32)
    place += (labels * _RADII)[:, None, None]
    profile = formulas.profile.astype(np.float32).ravel()[place]
    return cover, profile


def _strokes(formulas, labels, rng):
    """Points along each class's curve, (N, points, 2), within -1 ... 1."""
    time = np.linspace(0, 1, _CURVE)
    waves = np.cos(np.pi * np.arange(1, 7)[:, None] * time)
    jitter = 1 + 0.15 * rng.normal(size=(len(labels), 2, 6))
    points = (formulas.curve[labels] * jitter) @ waves
    return _boxed(points.swapaxes(1, 2))


def _fractals(formulas, labels, rng):
    """Points of each class's attractor: the chaos game, many at a time."""
    n = len(labels)
    jitter = rng.normal(0, 0.04, (n, 4, 2))
    maps = formulas.maps[labels]
    shifts = formulas.shifts[labels] + jitter
    points = np.zeros((n, _PARTICLES, 2))
    visited = []
    picture = np.arange(n)[:, None]
    for step in range(_ROUNDS):
        which = rng.random((n, _PARTICLES)) * formulas.n_maps[labels, None]
        which = which.astype(np.int64)
        chosen = maps[picture, which]
        points = (chosen @ points[..., None])[..., 0]
        points += shifts[picture, which]
        if step >= _ROUNDS // 2 - 3:
            visited.append(points)
    return _boxed(np.concatenate(visited, axis=1))


def _boxed(points):
    low, high = points.min(1, keepdims=True), points.max(1, keepdims=True)
    span = np.maximum((high - low).max(-1, keepdims=True), 1e-6)
    return (2 * points - low - high) / span


def _cloud(points, pose, width, size, rng):
    """Cover of points drawn with a pen of that width (parts of the side)."""
    n = len(points)
    scale = pose.size[:, None, None]
    turned = points @ _rotation(pose.angle) * 0.9 * scale
    turned += rng.uniform(-1, 1, (n, 1, 2)) * 0.9 * (1 - scale)
    pixel = np.clip((turned + 1) / 2 * size, 0, size - 1).astype(np.int64)
    flat = pixel[..., 1] * size + pixel[..., 0]
    flat += np.arange(n)[:, None] * size * size
    hits = np.bincount(flat.ravel(), minlength=n * size * size)
    hits = np.minimum(hits, 1).reshape(n, size, size).astype(np.float32)
    # A line of hits blurred by s pixels peaks at about 1 / (2.5 s).
    peak = 2.5 * np.maximum(width * size, 0.4)
    smooth = _filtered(hits, _gaussian(width, size))
    return np.clip(1.6 * peak[:, None, None] * smooth - 0.3, 0, 1)


def _frequencies(size):
    return (
        np.fft.fftfreq(size).astype(np.float32)[:, None],
        np.fft.rfftfreq(size).astype(np.float32)[None, :],
    )


def _gaussian(width, size):
    """Fourier filter of a blur, width in parts of the side: (N, S, S/2+1)."""
    v, u = _frequencies(size)
    decay = 2 * np.pi**2 * (width * size) ** 2
    return np.exp(-decay[:, None, None].astype(np.float32) * (u * u + v * v))


def _filtered(planes, spectrum):
    wave = np.fft.rfft2(planes) * spectrum
    return np.fft.irfft2(wave, planes.shape[-2:]).astype(np.float32)


def _noise(roughness, stretch, angle, size, rng):
    """1/f^roughness noise of mean 0 and spread 1, (N, size, size)."""
    v, u = _frequencies(size)
    cos, sin = (f(angle).astype(np.float32) for f in (np.cos, np.sin))
    cos, sin = cos[:, None, None], sin[:, None, None]
    wide = stretch.astype(np.float32)[:, None, None]
    power = (wide * (cos * u + sin * v)) ** 2
    power += ((cos * v - sin * u) / wide) ** 2
    power += np.float32(1 / size**2)
    amplitude = power ** (-roughness / 4).astype(np.float32)[:, None, None]
    amplitude[:, 0, 0] = 0
    parts = rng.standard_normal((2, *amplitude.shape), dtype=np.float32)
    field = np.fft.irfft2(amplitude * (parts[0] + 1j * parts[1]), (size, size))
    spread = field.std((1, 2), keepdims=True)
    return (field / np.maximum(spread, 1e-9)).astype(np.float32)


def _light(n, size, rng):
    """A slope of light over each picture, (N, size, size), about 1."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    slope = rng.normal(0, 0.12, (2, n, 1, 1)).astype(np.float32)
    gain = rng.uniform(0.8, 1.15, (n, 1, 1)).astype(np.float32)
    return gain + slope[0] * axis + slope[1] * axis[:, None]
