"""Where things lie: the project, its data, its runs and its figures.

The environment variable ``WORKBOOK_DATA`` names the folder of real data sets,
``WORKBOOK_CACHE`` that of synthetic images and cached features.
"""

import hashlib
import io
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]


def folder(given: Path | str) -> Path:
    """A folder that a person named: ``~`` stands for the home folder."""
    return Path(given).expanduser().resolve()


# An empty variable names no folder: it is as if it were not set.
DATA_DIR = folder(os.environ.get("WORKBOOK_DATA") or ROOT / "data")
CACHE_DIR = folder(os.environ.get("WORKBOOK_CACHE") or ROOT / "data")
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
    return Path(given).expanduser() if given else DATA_DIR


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


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A folder inside a folder of the cache, to make files in.

    It belongs to one process at a time, others wait, and is removed at the
    end. So whatever lies there at the beginning is of a process that was
    killed, and goes.

    Raises OSError, which names WORKBOOK_CACHE, where nothing can be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=600):
            for old in folder.glob(".new-*"):
                shutil.rmtree(old, ignore_errors=True)
            with TemporaryDirectory(prefix=".new-", dir=folder) as place:
                yield Path(place)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{error.strerror or error}: nothing can be written there; name "
            "another folder by the environment variable WORKBOOK_CACHE",
            str(folder),
        ) from error


def kept(
    keep_dir: Path | str | None, made_of: dict, make: Callable[[], dict]
) -> tuple[dict[str, np.ndarray], bool]:
    """Arrays under a hash of what they follow from, made where not kept yet.

    keep_dir : the folder of the files; None keeps nothing
    made_of : all that the arrays follow from: JSON values and arrays
    make : gives a dictionary of arrays, numbers and texts

    A file's name ends in a digest of its bytes. One that was altered or cut
    short is removed, and its arrays are made anew; where none can be written
    they are made each time. A printed line says so.

    Returns the dictionary, numbers and texts as arrays of no axis where they
    are read, and whether it was kept.
    """
    if keep_dir is None:
        return make(), False
    keep_dir = Path(keep_dir)
    text = json.dumps(made_of, sort_keys=True, default=_fingerprint)
    key = hashlib.sha256(text.encode()).hexdigest()[:32]
    for path in sorted(keep_dir.glob(f"{key}-*.npz")):
        if (arrays := _read(path)) is not None:
            return arrays, True
    arrays, buffer = make(), io.BytesIO()
    np.savez(buffer, **arrays)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()[:32]
    try:
        with scratch(keep_dir) as place:
            (place / "new").write_bytes(buffer.getvalue())
            os.replace(place / "new", keep_dir / f"{key}-{digest}.npz")
    except OSError as error:
        print(f"{keep_dir.name}: not kept ({error})", flush=True)
    return arrays, False


def _read(path):
    """A kept file's arrays; None where it is not as it was written."""
    with suppress(OSError):
        if path.stem.endswith(file_sha256(path)[:32]):
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        path.unlink()
    print(
        f"{path.parent.name}/{path.name} was altered or cut short, or cannot "
        "be read: made anew",
        flush=True,
    )
    return None


def _fingerprint(array):
    """What stands for an array in a key: shape, type and digest."""
    data = np.ascontiguousarray(array)
    return [data.shape, str(data.dtype), hashlib.sha256(data).hexdigest()]
