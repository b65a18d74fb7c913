"""Where things lie: the project, its data, its runs and its figures.

The environment variable ``WORKBOOK_DATA`` names the folder of real data sets,
``WORKBOOK_CACHE`` that of synthetic images and cached features.
"""

import hashlib
import io
import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


def folder(given: Path | str) -> Path:
    """A folder that a person named: ``~`` stands for the home folder."""
    return Path(given).expanduser().resolve()


DATA_DIR = folder(os.environ.get("WORKBOOK_DATA", ROOT / "data"))
CACHE_DIR = folder(os.environ.get("WORKBOOK_CACHE", ROOT / "data"))
NOTEBOOKS_DIR = ROOT / "notebooks"
FIGURES_DIR = ROOT / "figures"
RUNS_DIR = ROOT / "runs"
PUBLISHED_DIR = ROOT / "data" / "published"
MEASURED_DIR = ROOT / "data" / "measured"
STUDIES_DIR = ROOT / "data" / "studies"
STAGING = ".staging"
"""In a run's folder, where its notebooks write until they are done."""


def data_folder(given: Path | str | None = None) -> Path:
    """The folder of the data sets: ``DATA_DIR`` unless another is given."""
    return DATA_DIR if given is None else Path(given).expanduser()


def atomic_write(path: Path | str, data: bytes | str) -> Path:
    """Write a file whole or not at all, and return its path.

    A reader sees the old file or the new one, never a part of it. Missing
    parent folders are made; text is UTF-8.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(data.encode() if isinstance(data, str) else data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def kept(
    keep_dir: Path | str | None, made_of: dict, make: Callable[[], dict]
) -> tuple[dict[str, np.ndarray], bool]:
    """Arrays under a hash of what they follow from, made where not kept yet.

    keep_dir : the folder of the files; None keeps nothing
    made_of : all that the arrays follow from: JSON values and arrays
    make : gives a dictionary of arrays, numbers and texts

    Returns the dictionary, numbers and texts as arrays of no axis where they
    are read, and whether it was kept.
    """
    if keep_dir is None:
        return make(), False
    text = json.dumps(made_of, sort_keys=True, default=_fingerprint)
    key = hashlib.sha256(text.encode()).hexdigest()[:32]
    path = Path(keep_dir) / f"{key}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as file:
            return dict(file), True
    arrays, buffer = make(), io.BytesIO()
    np.savez(buffer, **arrays)
    atomic_write(path, buffer.getvalue())
    return arrays, False


def _fingerprint(array):
    data = np.ascontiguousarray(array)
    digest = hashlib.sha256(data).hexdigest()
    return [data.shape, str(data.dtype), digest]
