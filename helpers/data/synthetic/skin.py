"""Draw one patch of skin with acne lesions on it, from formulas.

Layers hold what is in the skin; one renderer turns them into light. Colour
follows the Beer-Lambert law, in which blood and melanin each darken the
channels by an optical density of their own (Anderson & Parrish 1981, "The
optics of human skin", J. Invest. Dermatol. 77:13-19); furrows are Worley's
(1996, "A cellular texture basis function", SIGGRAPH); oil shines by Blinn's
half vector (1977, SIGGRAPH). So redness fades on dark skin and a dome shows
under raking light without anybody drawing that.
"""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy import fft, ndimage

from helpers.data.synthetic import step, window

SIDE = 224
"""Side of a drawn scene in pixels: a 150-pixel view fits in it, rotated."""


def _planes(red, green, blue) -> np.ndarray:
    """One number a channel, to multiply a layer by: float32 (3, 1, 1)."""
    return np.float32((red, green, blue))[:, None, None]


# sRGB skin without lesions, lightest to darkest; after Fitzpatrick's types.
TONES = (
    *(_planes(243, 212, 196), _planes(233, 193, 169), _planes(215, 166, 136)),
    *(_planes(181, 128, 97), _planes(132, 87, 64), _planes(82, 53, 43)),
)
# Optical density of one unit of blood and of pigment, in linear R, G, B.
BLOOD = _planes(0.22, 1.00, 0.86)
VENOUS = _planes(0.55, 0.90, 0.58)
PIGMENT = _planes(0.52, 0.83, 1.00)
# Linear colour of what fills a closed pore and of what fills a pustule.
KERATIN = _planes(0.97, 0.84, 0.66)
PUS = _planes(0.92, 0.78, 0.43)
TEMPERATURES = {
    "warm": (1.08, 1.00, 0.84),
    "neutral": (1.00, 1.00, 1.00),
    "cool": (0.93, 1.00, 1.10),
    # Rarer, beyond what random_light draws: a bulb at night, open shade.
    "bulb": (1.18, 0.96, 0.58),
    "shade": (0.80, 1.00, 1.30),
}
EVERYDAY = ("warm", "neutral", "cool")
"""The temperatures that ``random_light`` draws from."""

LAYERS = ("height", "blood", "venous", "pigment", "keratin", "pus", "oil")


class Skin:
    """What a patch of skin is made of, before light falls on it.

    Each of ``LAYERS`` is float32 (SIDE, SIDE): height in pixels; blood,
    venous blood and pigment in optical density; keratin and pus as opacities
    0..1; oil as the strength of the shine. tone: 0 (pale) to 1 (dark);
    wobble: the noise in every lesion's outline.
    """

    def __init__(self, tone: float, wobble: np.ndarray):
        self.tone, self.wobble = tone, wobble
        for name in LAYERS:
            setattr(self, name, np.zeros((SIDE, SIDE), np.float32))


@dataclass(frozen=True)
class Light:
    """Where the light stands (degrees) and how the camera takes it."""

    temperature: str
    azimuth: float
    slant: float
    ambient: float
    exposure: float
    vignette: float
    blur: float

    @property
    def name(self) -> str:
        """For the manifest, such as "warm, raking"."""
        side = "raking" if self.slant > 40 else "frontal"
        return f"{self.temperature}, {side}"


def skin_type(tone: float) -> str:
    """Fitzpatrick-like group of a tone between 0 (pale) and 1 (dark)."""
    return ("I-II", "III-IV", "V-VI")[min(int(tone * 3), 2)]


def _cloud(rng, exponent: float) -> np.ndarray:
    """Noise with amplitude 1/f**exponent, mean 0, standard deviation 1."""
    white = rng.standard_normal((SIDE, SIDE), dtype=np.float32)
    frequency = np.hypot(fft.fftfreq(SIDE)[:, None], fft.rfftfreq(SIDE))
    # No constant part.
    frequency[0, 0] = np.inf
    amplitude = (frequency**-exponent).astype(np.float32)
    noise = fft.irfft2(fft.rfft2(white) * amplitude, (SIDE, SIDE))
    return noise / noise.std()


def _furrows(rng, spacing: float, stretch: float) -> np.ndarray:
    """Worley's F2 - F1 on a stretched, rotated grid: 0 in a furrow."""
    angle = rng.uniform(0, np.pi)
    axis = np.arange(SIDE, dtype=np.float32)
    # math, not numpy: a float64 scalar would lift these layers to float64.
    cos, sin = math.cos(angle), math.sin(angle)
    u = cos * axis[None, :] + sin * axis[:, None]
    v = cos * axis[:, None] - sin * axis[None, :]
    u, v = u / (spacing * stretch), v * (stretch / spacing)
    u, v = u - u.min() + 1, v - v.min() + 1
    cells = (int(u.max()) + 3, int(v.max()) + 3)
    jitter = rng.random((2, *cells), dtype=np.float32)
    iu, iv = u.astype(np.intp), v.astype(np.intp)
    fu, fv = u - np.floor(u), v - np.floor(v)
    first = second = np.float32(9)
    for du, dv in product((-1, 0, 1), repeat=2):
        cell = (iu + du) * cells[1] + (iv + dv)
        gap_u, gap_v = (j.ravel()[cell] for j in jitter)
        gap = (gap_u + (du - fu)) ** 2 + (gap_v + (dv - fv)) ** 2
        # Not np.partition over all nine, which takes three times as long.
        second = np.minimum(second, np.maximum(first, gap))
        first = np.minimum(first, gap)
    return np.sqrt(second) - np.sqrt(first)


def healthy_skin(rng: np.random.Generator, tone: float) -> Skin:
    """Skin with mottle, furrows, pores and oil; no lesion yet."""
    skin = Skin(tone, wobble=_cloud(rng, 1.8))
    skin.blood += 0.10 + rng.uniform(0.02, 0.12) * _cloud(rng, 1.6)
    skin.blood += rng.choice((0.0, 0.12, 0.3), p=(0.5, 0.3, 0.2))
    skin.pigment += rng.uniform(0.02, 0.08) * _cloud(rng, 1.3)
    cells = _furrows(rng, rng.uniform(5, 12), rng.uniform(1.0, 1.5))
    skin.height += rng.uniform(0.2, 1.1) * np.minimum(cells, 0.4)
    skin.height += rng.uniform(0.05, 0.22) * _cloud(rng, 1.0)
    # Pores are small dents, about one a grid cell.
    spacing, radius = rng.uniform(7, 16), rng.uniform(0.8, 1.5)
    count = int((SIDE / spacing) ** 2)
    dents = np.zeros((SIDE, SIDE), np.float32)
    y, x = rng.integers(0, SIDE, (2, count))
    dents[y, x] = rng.uniform(0.2, 1.0, count)
    pores = ndimage.gaussian_filter(dents, radius) * (2 * np.pi * radius**2)
    skin.height -= rng.uniform(0.2, 1.1) * pores
    skin.pigment += rng.choice((0.03, 0.25), p=(0.7, 0.3)) * pores
    skin.oil += rng.uniform(0.02, 0.25)
    # A cheek is no plane: a broad curve gives each image its shading.
    axis = np.linspace(-1, 1, SIDE, dtype=np.float32)
    turn = rng.uniform(0, 2 * np.pi)
    along = math.cos(turn) * axis[None, :] + math.sin(turn) * axis[:, None]
    skin.height += rng.uniform(-22, 22) * along
    skin.height -= rng.uniform(0, 26) * along**2
    return skin


def _around(skin: Skin, at, radius: float, reach: float, rng, squash=0.25):
    """Slices round a lesion, and the distance in units of its radius."""
    # Stretched along a random axis, with a wobble: no lesion is a disc.
    radius = float(radius)
    half = int(np.ceil(radius * reach * (1 + squash))) + 1
    where, dy, dx = window(at, half, half + 1, (SIDE, SIDE))
    angle, stretch = rng.uniform(0, np.pi), 1 + rng.uniform(0, squash)
    cos, sin = math.cos(angle), math.sin(angle)
    a = (dx * cos + dy * sin) / (radius * stretch)
    b = (dy * cos - dx * sin) / radius * stretch
    wobble = np.clip(skin.wobble[where], -2, 2)
    return where, np.hypot(a, b) * (1 + 0.10 * wobble)


def _spread(rng, count: int, radius: float, gap: float) -> list:
    """At most ``count`` places within ``radius``, ``gap`` pixels apart."""
    places = []
    for _ in range(count * 12):
        r, phi = radius * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
        y, x = SIDE / 2 + r * np.sin(phi), SIDE / 2 + r * np.cos(phi)
        if all(np.hypot(y - b, x - a) >= gap for b, a in places):
            places.append((y, x))
        if len(places) == count:
            break
    return places


def freckles(skin: Skin, rng: np.random.Generator, count: int) -> None:
    """At most ``count`` small flat brown spots all over."""
    for at in _spread(rng, count, 130, 5):
        where, d = _around(skin, at, rng.uniform(1.5, 4), 2, rng)
        skin.pigment[where] += rng.uniform(0.1, 0.4) * step(d, 1, 1.2)


def moles(skin: Skin, rng: np.random.Generator, count: int) -> None:
    """At most ``count`` dark spots with a sharp edge, a little raised."""
    for at in _spread(rng, count, 95, 20):
        radius = rng.uniform(3, 6.5)
        where, d = _around(skin, at, radius, 2, rng)
        skin.pigment[where] += rng.uniform(0.7, 1.7) * step(d, 1, 0.7)
        skin.height[where] += 0.3 * radius * step(d, 0.8, 1.4)


def hairs(skin: Skin, rng: np.random.Generator) -> None:
    """A few to twenty fine dark curved hairs that lean one way."""
    strength = rng.uniform(0.5, 1.6)
    count = int(rng.integers(2, 22))
    # Drawn at twice the size, for smooth edges.
    large = Image.new("L", (2 * SIDE, 2 * SIDE))
    pen = ImageDraw.Draw(large)
    t = np.linspace(0, 1, 14)[:, None]
    lean = rng.uniform(0, 2 * np.pi)
    for _ in range(count):
        start = rng.uniform(0, 2 * SIDE, 2)
        phi = lean + rng.normal(0, 0.35)
        along = rng.uniform(60, 220) * np.array((np.cos(phi), np.sin(phi)))
        bend = rng.uniform(-0.3, 0.3) * along[::-1] * (1, -1)
        curve = start + t * along + t * (1 - t) * bend
        shade = int(rng.uniform(110, 235))
        pen.line([tuple(p) for p in curve], fill=shade, width=2)
    small = large.resize((SIDE, SIDE), Image.Resampling.BOX)
    skin.pigment += strength * (np.asarray(small, np.float32) / 255)


def distractors(skin: Skin, rng: np.random.Generator) -> None:
    """Freckles, moles, old marks and hairs: as often in every class."""
    if rng.random() < 0.35:
        freckles(skin, rng, int(rng.integers(3, 26)))
    if rng.random() < 0.18:
        moles(skin, rng, int(rng.integers(1, 3)))
    if rng.random() < 0.40:
        for at in _spread(rng, int(rng.integers(1, 5)), 105, 16):
            where, d = _around(skin, at, rng.uniform(5, 15), 2.2, rng, 0.5)
            mark = step(d, 0.9, 1.8)
            skin.blood[where] += rng.uniform(0.05, 0.45) * mark
            skin.pigment[where] += rng.uniform(0.0, 0.25) * mark
    if rng.random() < 0.35:
        hairs(skin, rng)


def _plug(skin: Skin, rng, at, radius: float) -> None:
    """An open pore: a dark plug in a funnel with a faint raised rim."""
    where, d = _around(skin, at, radius, 2.4, rng)
    plug = step(d, 0.85, rng.uniform(0.5, 0.9))
    skin.pigment[where] += rng.uniform(1.3, 2.9) * plug
    skin.pigment[where] += rng.uniform(0.1, 0.3) * step(d, 1.2, 1.3)
    rim = np.exp(-(((d - 1.4) / 0.4) ** 2))
    skin.height[where] += radius * (0.10 * rim - 0.16 * plug)
    skin.keratin[where] += rng.uniform(0, 0.08) * rim
    skin.oil[where] += rng.uniform(0, 0.15) * rim


def _red_bump(skin: Skin, rng, at, radius: float) -> None:
    """The body that papules and pustules share."""
    where, d = _around(skin, at, radius, 2.8, rng)
    skin.blood[where] += rng.uniform(0.35, 1.0) * step(d, 0.8, 1.3)
    skin.blood[where] += rng.uniform(0.1, 0.45) * np.exp(-((d / 1.7) ** 2))
    skin.pigment[where] += 0.18 * skin.tone * step(d, 1.0, 1.4)
    lift = rng.uniform(0.15, 0.32) * radius
    skin.height[where] += lift * np.exp(-((d / 0.75) ** 2))
    skin.oil[where] += rng.uniform(0.0, 0.35) * step(d, 0.8, 1.0)


def _apex(skin: Skin, rng, at, radius: float, size: float) -> tuple:
    """A small spot near a bump's top: where a head or a flake would be."""
    shift = rng.normal(0, 0.12 * radius, 2)
    at = (at[0] + shift[0], at[1] + shift[1])
    return _around(skin, at, size * radius, 2.0, rng, 0.12)


def _head(skin: Skin, rng, at, radius: float) -> None:
    """The pale or yellow top of a pustule, sometimes small or faint."""
    where, d = _apex(skin, rng, at, radius, rng.uniform(0.18, 0.52))
    head = step(d, 0.9, rng.uniform(0.7, 1.4))
    opacity, yellow = rng.uniform(0.3, 0.95), rng.uniform(0.35, 1.0)
    skin.pus[where] += yellow * opacity * head
    skin.keratin[where] += (1 - yellow) * opacity * head
    skin.height[where] += 0.10 * radius * head
    skin.oil[where] += rng.uniform(0.0, 0.6) * head


def _pale_bump(skin: Skin, rng, at, radius: float) -> None:
    """A closed pore: a pale dome under skin that hardly reddens."""
    where, d = _around(skin, at, radius, 2.4, rng)
    pale = step(d, 0.7, 1.3)
    skin.keratin[where] += rng.uniform(0.4, 0.8) * pale
    skin.blood[where] += rng.uniform(0.04, 0.2) * step(d, 1.2, 1.6)
    lift = rng.uniform(0.32, 0.58) * radius
    skin.height[where] += lift * np.exp(-((d / 0.8) ** 2))
    skin.oil[where] += rng.uniform(0, 0.4) * pale


def blackheads(skin: Skin, rng: np.random.Generator, zoom: float) -> None:
    """Open comedones: a few large or many small pores with dark plugs."""
    count = int(np.exp(rng.uniform(np.log(2), np.log(34))))
    radius = zoom * np.clip(8.0 / count**0.42, 1.7, 6.0)
    for at in _spread(rng, count, min(24 + 7 * count, 82), 3.2 * radius):
        _plug(skin, rng, at, radius * rng.uniform(0.65, 1.3))


def cyst(skin: Skin, rng: np.random.Generator, zoom: float) -> None:
    """One or two large deep nodules, red to purple, with soft shading."""
    count = 1 if rng.random() < 0.72 else 2
    radius = zoom * rng.uniform(25, 44) / count**0.5
    for at in _spread(rng, count, 12 + 26 * (count - 1), 1.7 * radius):
        where, d = _around(skin, at, radius, 2.2, rng, 0.4)
        body = np.exp(-(d**2.6))
        skin.blood[where] += rng.uniform(0.35, 0.85) * step(d, 0.9, 1.1)
        skin.blood[where] += rng.uniform(0.05, 0.3) * np.exp(-((d / 1.5) ** 2))
        skin.venous[where] += rng.uniform(0.1, 0.75) * step(d, 0.6, 1.1)
        skin.pigment[where] += 0.12 * skin.tone * body
        skin.height[where] += rng.uniform(0.20, 0.42) * radius * body
        skin.oil[where] += rng.uniform(0.0, 0.25) * body


def papule(skin: Skin, rng: np.random.Generator, at, radius: float) -> None:
    """One red bump at (y, x), in pixels; some are dry or glint at the top.

    What is drawn from ``rng`` does not depend on the place or the radius.
    """
    _red_bump(skin, rng, at, radius)
    kind = rng.random()
    if kind < 0.30:
        where, d = _apex(skin, rng, at, radius, rng.uniform(0.2, 0.4))
        skin.oil[where] += rng.uniform(0.5, 1.6) * step(d, 0.9, 0.9)
        skin.height[where] += 0.08 * radius * step(d, 0.9, 1.2)
    elif kind < 0.50:
        where, d = _apex(skin, rng, at, radius, rng.uniform(0.25, 0.5))
        ragged = np.clip(skin.wobble[where] + 0.6, 0, 1)
        skin.keratin[where] += 0.35 * ragged * step(d, 0.9, 0.9)


def pustule(skin: Skin, rng: np.random.Generator, at, radius: float) -> None:
    """One red bump with a pale or yellow head; arguments as of ``papule``."""
    _red_bump(skin, rng, at, radius)
    _head(skin, rng, at, radius)


def papules(skin: Skin, rng: np.random.Generator, zoom: float) -> None:
    """Small red bumps without a head."""
    for at, radius in _crop_of_bumps(rng, zoom):
        papule(skin, rng, at, radius)


def pustules(skin: Skin, rng: np.random.Generator, zoom: float) -> None:
    """Red bumps with a pale or yellow head, on some small or faint."""
    ripe = rng.uniform(0.3, 1.0)
    for i, (at, radius) in enumerate(_crop_of_bumps(rng, zoom)):
        _red_bump(skin, rng, at, radius)
        if i == 0 or rng.random() <= ripe:
            _head(skin, rng, at, radius)


def _crop_of_bumps(rng, zoom: float) -> list:
    """Places and radii of a crop of papules or pustules, alike for both."""
    count = int(np.exp(rng.uniform(0, np.log(9))))
    radius = zoom * rng.uniform(10, 18) / count**0.22
    places = _spread(rng, count, min(14 + 12 * count, 72), 1.9 * radius)
    return [(at, radius * rng.uniform(0.7, 1.25)) for at in places]


def whiteheads(skin: Skin, rng: np.random.Generator, zoom: float) -> None:
    """Closed comedones: small pale bumps with hardly any redness."""
    count = int(np.exp(rng.uniform(np.log(3), np.log(24))))
    radius = zoom * np.clip(9.5 / count**0.3, 3.6, 6.8)
    for at in _spread(rng, count, min(26 + 6 * count, 76), 2.3 * radius):
        _pale_bump(skin, rng, at, radius * rng.uniform(0.6, 1.2))


LESIONS = {"Blackheads": blackheads, "Cyst": cyst, "Papules": papules}
LESIONS |= {"Pustules": pustules, "Whiteheads": whiteheads}


def stray_lesions(skin: Skin, rng: np.random.Generator) -> None:
    """A few small lesions of any kind off the centre: acne is rarely pure."""
    for _ in range(int(rng.choice(4, p=(0.5, 0.28, 0.15, 0.07)))):
        phi = rng.uniform(0, 2 * np.pi)
        away = rng.uniform(35, 72)
        at = (SIDE / 2 + away * np.sin(phi), SIDE / 2 + away * np.cos(phi))
        kind = rng.integers(4)
        if kind == 0:
            _plug(skin, rng, at, rng.uniform(1.6, 3.4))
        elif kind == 1:
            _pale_bump(skin, rng, at, rng.uniform(2.5, 5))
        else:
            radius = rng.uniform(4, 9)
            (pustule if kind == 2 else _red_bump)(skin, rng, at, radius)


def lesions(skin: Skin, rng: np.random.Generator, class_name: str) -> None:
    """The class's own lesions, from faint to vivid, from far to near."""
    before = {name: getattr(skin, name).copy() for name in LAYERS}
    LESIONS[class_name](skin, rng, float(np.exp(rng.normal(0, 0.2))))
    vivid = rng.uniform(0.5, 1.15)
    for name, layer in before.items():
        setattr(skin, name, layer + vivid * (getattr(skin, name) - layer))


def random_light(rng: np.random.Generator) -> Light:
    """A light and a camera as a phone might meet them."""
    return Light(
        temperature=str(rng.choice(EVERYDAY)),
        azimuth=rng.uniform(0, 360),
        slant=rng.uniform(15, 60),
        ambient=rng.uniform(0.35, 0.65),
        exposure=float(np.exp(rng.normal(-0.06, 0.15))),
        vignette=rng.uniform(0.0, 0.45),
        blur=max(0.0, rng.normal(0.35, 0.4)),
    )


def render(skin: Skin, light: Light) -> Image.Image:
    """Light the skin: an RGB image, SIDE x SIDE, 8 bits a channel."""
    place = skin.tone * (len(TONES) - 1)
    low = min(int(place), len(TONES) - 2)
    base = TONES[low] + (place - low) * (TONES[low + 1] - TONES[low])
    # Channels come first until the end: numpy is much faster so.
    density = skin.blood * BLOOD
    density += skin.venous * VENOUS
    density += skin.pigment * PIGMENT
    colour = (base / 255) ** 2.2 * np.exp(-density)
    # Pale matter lies under living skin, so the skin's own tone dims it.
    dim = 1 - 0.74 * skin.tone
    for opacity, matter in ((skin.keratin, KERATIN), (skin.pus, PUS)):
        share = np.clip(opacity, 0, 1)
        colour += share * (matter * dim - colour)

    slope_y, slope_x = np.gradient(skin.height)
    length = 1 / np.sqrt(slope_x**2 + slope_y**2 + 1)
    azimuth, slant = np.radians((light.azimuth, light.slant))
    across = np.sin(slant)
    to_light = np.float32(
        (np.cos(azimuth) * across, np.sin(azimuth) * across, np.cos(slant))
    )
    half = to_light + np.float32((0, 0, 1))
    half /= np.linalg.norm(half)

    def facing(v):
        return np.maximum(v[2] - v[0] * slope_x - v[1] * slope_y, 0) * length

    direct = facing(to_light) / to_light[2]
    diffuse = light.ambient + (1 - light.ambient) * direct
    shine = 0.42 * np.minimum(skin.oil, 1.6) * facing(half) ** 40
    axis = np.linspace(-1, 1, SIDE, dtype=np.float32) ** 2
    frame = 1 - light.vignette * (axis[:, None] + axis[None, :]) / 2
    tint = _planes(*TEMPERATURES[light.temperature])
    tint *= light.exposure
    lit = (colour * diffuse + shine) * (frame * tint)
    # A shoulder instead of a hard clip, as cameras have.
    bright = lit > 0.7
    lit[bright] = 1 - 0.3 * np.exp((0.7 - lit[bright]) / 0.3)
    levels = (255 * np.clip(lit, 0, 1) ** (1 / 2.2) + 0.5).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0)))
    if light.blur > 0.2:
        image = image.filter(ImageFilter.GaussianBlur(light.blur))
    return image
