"""Images made from formulas: skin, acne, graded severity, blood smears.

Here is what they share: soft edges, windows and the check of settings.
"""

import numpy as np


def check_settings(scale: float, seed: int = 0) -> None:
    """Raise ValueError for a scale outside (0, 1] or a negative seed."""
    if not 0 < scale <= 1:
        raise ValueError(f"scale={scale} must lie in (0, 1]")
    if seed < 0:
        raise ValueError(f"seed={seed} must not be negative")


def step(distance: np.ndarray, edge: float, softness: float) -> np.ndarray:
    """1 within ``edge``, 0 beyond, a smooth step of width ``softness``."""
    # Much faster on small arrays than np.clip, and the same to the bit.
    t = np.minimum(np.maximum((edge - distance) / softness + 0.5, 0), 1)
    return t * t * (3 - 2 * t)


def window(place, low: float, high: float, shape):
    """Slices of an image, its pixels from place - low up to place + high.

    place: (y, x) in pixels. Returns (rows, columns) and the float32 offsets
    dy (H, 1) and dx (1, W) of their pixels from the place.
    """
    where, offsets = [], []
    for centre, side in zip(place, shape, strict=True):
        first, last = np.clip((int(centre - low), int(centre + high)), 0, side)
        where.append(slice(first, last))
        pixels = np.arange(first, last, dtype=np.float32)
        offsets.append(pixels - np.float32(centre))
    dy, dx = offsets
    return tuple(where), dy[:, None], dx[None, :]
