"""Image files for the tests of the loaders, made up or real."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def draw(
    path: Path, seed: int = 0, side: int = 20, kind: str | None = None
) -> Path:
    """Save a square of noise, in folders made for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(path, kind)
    return path


def fill(root: Path, *folders: str) -> Path:
    """Draw two images in each of some folders, all different."""
    for k, folder in enumerate(folders):
        for copy in range(2):
            draw(root / folder / f"{copy}.png", 10 * k + copy)
    return root


def folder_with(name: str) -> Path:
    """Return the folder of real data, or skip where it lacks a data set."""
    data = os.environ.get("WORKBOOK_DATA")
    if not data or not (Path(data) / name).is_dir():
        pytest.skip(f"WORKBOOK_DATA names no folder with {name} in it")
    return Path(data)
