"""The versions, the code and the data that results are made of."""

import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from helpers import paths
from helpers.runner.notebooks import EMBEDDED_SETS, REAL_SETS, Notebook

CODE_DIRS = ("helpers", "data/published", "data/checksums", "data/weights")
"""Folders of the project on which every notebook's results may depend."""


def made_of(
    notebook: Notebook, settings: Mapping[str, object], needs: list
) -> dict[str, object]:
    """All that a notebook's results depend on, as JSON can hold it.

    settings: the run's parameters; needs: when the results that the
    notebook reads were finished.
    """
    names = notebook.parameters
    given = {k: v for k, v in settings.items() if k in names}
    measured = sorted(paths.MEASURED_DIR.glob("*.csv"))
    return {
        "cells": hashlib.sha256(notebook.cells.encode()).hexdigest(),
        "helpers or published tables": code_digest(),
        "parameters": given,
        "package versions": versions(),
        "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "WORKBOOK_DATA": str(paths.DATA_DIR),
        "data or weights": data_digest(given, "DATASET" in names),
        "reference results": digest(
            table for table in measured if table.name in notebook.cells
        ),
        "results it needs": needs,
    }


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


def data_digest(settings: Mapping[str, object], asks: bool) -> str | None:
    """SHA-256 of the data and weights that settings name; None: of none.

    settings: a notebook's parameters; asks: whether it has a parameter
    DATASET, that is, whether it reads a data set. Counted are every file
    below the folder of that data set, its ``.npz`` file, and each value that
    is the path of a file, such as WEIGHTS. Without a DATASET a notebook may
    look for any real data set in DATA_DIR and, in full, for CIFAR-10.
    """
    named = [paths.ROOT / text for text in _texts(settings)]
    found = [path for path in named if os.path.isfile(path)]
    if asks:
        place = settings.get("DATA_DIR")
        usual = sorted(REAL_SETS) if place else ["cifar10"]
        for name in _texts(settings.get("DATASET") or usual):
            if name not in EMBEDDED_SETS:
                path = paths.ROOT / paths.data_folder(place) / name
                found += [path, path.with_name(f"{name}.npz")]
    return digest(found)


def _texts(value: object) -> Iterator[str]:
    """The texts in nested dictionaries and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        inside = value.values() if isinstance(value, Mapping) else value
        for item in inside:
            yield from _texts(item)


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
        if here in seen or "__pycache__" in here:
            inner.clear()
            continue
        seen.add(here)
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
