"""A run's folder: its lock, its state, and results that appear whole.

    DIR/notebooks, figures, results   what finished notebooks left
    DIR/failed      where an unsuccessful notebook stopped, for reading
    DIR/state.json  what is done, and made of what
    DIR/log.txt, DIR/versions.json

A notebook writes below ``DIR/.staging``. Once it has run to its end, its
files are recorded and then move, each whole, to their places; a record that
lacks one of its files does not count.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from filelock import FileLock, Timeout

from helpers import paths
from helpers.runner.notebooks import Notebook, Refused

STATE = "state.json"
PUBLISHED = ("notebooks", "figures", "results")


class RunFolder:
    """One run on disk; use it inside ``claimed()``.

    ``settings`` are the parameters all its notebooks get, ``records`` what
    is known of each finished one; both are kept in ``state.json``.
    """

    def __init__(self, path: Path) -> None:
        self.path = paths.folder(path)
        self.settings: dict[str, object] = {"PROFILE": "quick"}
        self.records: dict[str, dict] = {}

    @contextmanager
    def claimed(
        self, settings: dict[str, object], resume: bool, alone: bool = False
    ) -> Iterator[None]:
        """Hold the folder for this process alone, its state read.

        ``settings`` are put on top of the earlier run's, or take their
        place where they stand ``alone``. The system drops the lock with the
        process, however that ends. Raises ``Refused`` for a folder with
        other files, for one that another runner holds or that cannot be
        locked, and for an earlier run that is not resumed.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        names = [path.name for path in self.path.glob("[!.]*")]
        if names and STATE not in names:
            self._refuse("holds other files than a run's;")
        lock = FileLock(self.path / ".lock", fallback_to_soft=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            self._refuse("is in use by another runner; wait for it or")
        except OSError as error:
            self._refuse(f"cannot be locked ({error}): on another disk,")
        try:
            if (self.path / STATE).is_file():
                if not resume:
                    self._refuse("already holds a run; add --resume or")
                state = json.loads((self.path / STATE).read_text())
                self.records = state["done"]
                self.settings = self.settings if alone else state["settings"]
            self.settings.update(settings)
            self._save()
            shutil.rmtree(self.path / ".staging", ignore_errors=True)
            yield
        finally:
            shutil.rmtree(self.path / ".staging", ignore_errors=True)
            lock.release()

    def _refuse(self, reason: str) -> NoReturn:
        raise Refused(f"{self.path} {reason} choose another --run-dir")

    def _save(self) -> None:
        state = {"settings": self.settings, "done": self.records}
        text = json.dumps(state, indent=1) + "\n"
        paths.atomic_write(self.path / STATE, text)

    def record(self, name: str) -> dict:
        """A finished notebook's record; empty where it or a file is gone."""
        record = self.records.get(name, {})
        there = all((self.path / f).is_file() for f in record.get("files", []))
        return record if there else {}

    def stage(self, notebook: Notebook) -> Path:
        """A fresh folder for one notebook; its earlier results go away.

        It shows the result tables of the notebooks that this one needs.
        """
        name = notebook.name
        old = self.records.pop(name, {}).get("files", [])
        for file in [*old, f"failed/{name}.ipynb"]:
            (self.path / file).unlink(missing_ok=True)
        self._save()
        staged = self.path / ".staging" / name
        for folder in PUBLISHED:
            (staged / folder).mkdir(parents=True)
        for file in self._needed(notebook):
            shutil.copyfile(self.path / file, staged / file)
        return staged

    def _needed(self, notebook: Notebook) -> set[str]:
        """The result tables of the notebooks that one needs."""
        return {
            file
            for need in notebook.needs
            for file in self.record(need.name).get("files", [])
            if file.startswith("results/")
        }

    def publish(self, notebook: Notebook, staged: Path, made_of: dict) -> None:
        """Record a finished notebook's files and move them to their places.

        In this order a runner that is killed between two moves leaves none
        that the next one would not find and remove.
        """
        there = [p for f in PUBLISHED for p in sorted((staged / f).rglob("*"))]
        files = [
            p.relative_to(staged).as_posix() for p in there if p.is_file()
        ]
        shown = self._needed(notebook)
        files = [file for file in files if file not in shown]
        self.records[notebook.name] = {
            "finished": datetime.now().isoformat(),
            "files": files,
            "made_of": made_of,
        }
        self._save()
        for file in files:
            self.place(staged / file, file)

    def place(self, source: Path, file: str) -> None:
        """Move a file, whole, to its place in the folder."""
        (self.path / file).parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, self.path / file)


def new_folder(runs_dir: Path, profile: str) -> Path:
    """Make ``runs_dir/<time>-<profile>``, unique among concurrent runs."""
    while True:
        folder = runs_dir / f"{datetime.now():%Y%m%d-%H%M%S}-{profile}"
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            return folder
        time.sleep(0.1)


def newest_folder(runs_dir: Path, profile: str) -> Path:
    """The run of a profile that was started last; ``Refused`` if none."""
    found = sorted(runs_dir.glob(f"[0-9]*-{profile}/{STATE}"))
    if not found:
        raise Refused(f"no run with the profile {profile} in {runs_dir}")
    return found[-1].parent
