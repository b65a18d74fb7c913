"""The versions, the code and the data that results are made of."""

import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from helpers import paths
from helpers.data.catalog import DRAWN

CODE_DIRS = ("helpers", "data/published", "data/checksums", "data/weights")
"""Folders of the project on which every notebook's results may depend."""

USUAL_SETS = ("acne5", "chula-rbc-12", "cifar10", "cifar100")
"""What a notebook may look for in a DATA_DIR without a DATASET."""

FULL_SET = ("cifar10",)
"""What one may look for in the data folder without either, in full."""


@cache
def versions() -> dict[str, str]:
    """Python's version and that of every package in requirements.txt."""
    lines = (paths.ROOT / "requirements.txt").read_text().splitlines()
    names = [line.split("==")[0] for line in lines if "==" in line]
    found = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version(), **found}


@cache
def code_digest() -> str:
    """SHA-256 of the helpers, in whatever folder, and of what they read."""
    return digest(paths.ROOT / folder for folder in CODE_DIRS)


def measured_digest(cells: str) -> str | None:
    """SHA-256 of the reference results that a notebook's cells name."""
    tables = sorted(paths.MEASURED_DIR.glob("*.csv"))
    return digest(table for table in tables if table.name in cells)


def data_digest(settings: Mapping[str, object], asks: bool) -> str | None:
    """SHA-256 of the data and weights that settings name; None: of none.

    settings: a notebook's parameters; asks: whether it has a parameter
    DATASET, that is, whether it reads a data set. Counted are every file
    below the folder of that data set, its ``.npz`` file, and each value that
    is the path of a file, such as WEIGHTS.
    """
    named = [paths.ROOT / text for text in _texts(settings.values())]
    found = [path for path in named if os.path.isfile(path)]
    if asks:
        place = settings.get("DATA_DIR")
        folder = paths.data_folder(place)
        unnamed = USUAL_SETS if place else FULL_SET
        for name in _texts([settings.get("DATASET") or unnamed]):
            if name not in DRAWN:
                found += [paths.ROOT / folder / name]
                found += [paths.ROOT / folder / f"{name}.npz"]
    return digest(found)


def _texts(values: Iterable[object]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            yield from _texts(value.values())
        elif isinstance(value, (list, tuple)):
            yield from _texts(value)


def digest(places: Iterable[Path]) -> str | None:
    """SHA-256 over names and bytes of files, and of all below folders.

    None where there is no file. Python's compiled files do not count.
    """
    total, empty = hashlib.sha256(), True
    for place in places:
        for file in sorted(_files(place)):
            status, empty = file.stat(), False
            name = os.fsencode(file.relative_to(place.parent).as_posix())
            known = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            total.update(name + b"\0" + _file_digest(file, *known))
    return None if empty else total.hexdigest()


def _files(place: Path) -> Iterator[Path]:
    """A file itself, or the files below a folder; links are followed."""
    if os.path.isfile(place):
        yield place
    seen = set()
    for folder, inner, names in os.walk(place, followlinks=True):
        here = os.path.realpath(folder)
        if here in seen:
            inner.clear()
            continue
        seen.add(here)
        if "__pycache__" not in folder:
            files = (Path(folder, name) for name in names)
            yield from (file for file in files if file.is_file())


@cache
def _file_digest(file: Path, *known: int) -> bytes:
    """SHA-256 of a file, read once while its size and times stay."""
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").digest()
    except OSError as error:
        return str(error.errno).encode()
