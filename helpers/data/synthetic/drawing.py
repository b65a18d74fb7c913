"""What all procedural images share: random streams, soft edges, windows."""

import numpy as np


def check_settings(scale: float, seed: int) -> None:
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
    """Slices round a place of an image, and the offsets of their pixels.

    place: (y, x) in pixels; low, high: how far the slices reach, the pixel at
    place + high excluded; shape: (height, width). Returns (rows, columns) and
    float32 dy (H, 1) and dx (1, W), of the part inside the image.
    """
    where, offsets = [], []
    for centre, side in zip(place, shape, strict=True):
        first, last = int(centre - low), int(centre + high)
        span = slice(max(min(first, side), 0), max(min(last, side), 0))
        where.append(span)
        pixels = np.arange(span.start, span.stop, dtype=np.float32)
        offsets.append(pixels - np.float32(centre))
    dy, dx = offsets
    return tuple(where), dy[:, None], dx[None, :]
