"""A run's folder: its lock, its state, and results that appear whole.

    DIR/notebooks   executed notebooks
    DIR/figures     what they drew
    DIR/results     their tables (CSV)
    DIR/failed      what an unsuccessful notebook left, for reading
    DIR/state.json  what is done, made of what, with each file's SHA-256
    DIR/log.txt, DIR/versions.json

A notebook writes into a folder of its own below ``DIR/.staging``; its files
move to their places once it has run to its end.
"""

import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from helpers.manifest import Refused
from helpers.paths import atomic_write

STATE = "state.json"
PUBLISHED = ("figures", "results", "notebooks")


class RunFolder:
    """One run on disk; use it inside ``locked()``.

    ``state`` is the content of ``state.json``: the run's profile, its
    settings, and under ``notebooks`` one record a notebook.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.state: dict = {"notebooks": {}}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process alone.

        The operating system drops the lock with the process, however that
        ends, so a dead runner's folder can be taken over at once. Raises
        ``Refused`` while another runner holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise Refused(
                    f"{self.path} is in use by the runner with process id"
                    f" {lock.read()}; wait for it or choose another --run-dir"
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def open(self, resume: bool) -> None:
        """Read the state; refuse a folder that this run would spoil."""
        state = self.path / STATE
        if state.is_file():
            if not resume:
                raise Refused(
                    f"{self.path} already holds a run; add --resume to go on"
                    " with it or choose another --run-dir"
                )
            self.state = json.loads(state.read_text())
        elif any(p.name != ".lock" for p in self.path.iterdir()):
            (self.path / ".lock").unlink()
            raise Refused(
                f"{self.path} holds other files than a run's; choose another"
                " --run-dir"
            )

    def save(self) -> None:
        """Write the state."""
        text = json.dumps(self.state, indent=1, sort_keys=True)
        atomic_write(self.path / STATE, text + "\n")

    def record(self, name: str) -> dict:
        """A notebook's record, empty where it never ran here."""
        return self.state["notebooks"].get(name, {})

    def set_record(self, name: str, **record: object) -> None:
        """Replace a notebook's record and write the state."""
        self.state["notebooks"][name] = record
        self.save()

    def damaged(self, name: str) -> str | None:
        """The first of a notebook's files that is missing or altered."""
        for file, digest in self.record(name).get("files", {}).items():
            path = self.path / file
            if not path.is_file() or _sha256(path) != digest:
                return file
        return None

    def stage(self, name: str, inputs: list[str]) -> Path:
        """A fresh folder for one notebook, with copies of its inputs.

        ``inputs`` names the notebooks whose result tables it reads. What an
        earlier attempt left, published or not, goes away.
        """
        self._withdraw(name)
        folder = self.path / ".staging" / f"{name}-{uuid.uuid4().hex[:8]}"
        (folder / "results").mkdir(parents=True)
        for file in self._results(inputs):
            shutil.copy2(self.path / file, folder / file)
        return folder

    def clear_staging(self) -> None:
        """Remove what runs that were killed left unfinished."""
        shutil.rmtree(self.path / ".staging", ignore_errors=True)

    def publish(
        self, name: str, staged: Path, inputs: list[str], **record: object
    ) -> None:
        """Move a finished notebook's files to their places, then note it.

        The files are noted before the first one moves, so that a resumed
        run can tell what an interrupted move left.

        Raises ``ValueError`` where a file belongs to another notebook.
        """
        given = {
            file: _sha256(self.path / file) for file in self._results(inputs)
        }
        files = {
            path.relative_to(staged).as_posix(): _sha256(path)
            for folder in PUBLISHED
            for path in sorted((staged / folder).rglob("*"))
            if path.is_file()
        }
        files = {f: d for f, d in files.items() if given.get(f) != d}
        for other, theirs in self.state["notebooks"].items():
            if taken := set(files) & set(theirs.get("files", {})):
                raise ValueError(
                    f"{name} writes {', '.join(sorted(taken))}, which is"
                    f" {other}'s; give it another name"
                )
        self.set_record(name, status="publishing", files=files)
        for file in files:
            (self.path / file).parent.mkdir(parents=True, exist_ok=True)
            os.replace(staged / file, self.path / file)
        self.set_record(name, status="done", files=files, **record)
        shutil.rmtree(staged)

    def set_aside(
        self, name: str, staged: Path, output: Path, **record: object
    ) -> None:
        """Keep a failed notebook for reading, and drop its results."""
        if output.is_file():
            kept = self.path / "failed" / output.name
            kept.parent.mkdir(exist_ok=True)
            os.replace(output, kept)
        shutil.rmtree(staged)
        self.set_record(name, status="failed", **record)

    def _results(self, names: list[str]) -> list[str]:
        return [
            file
            for name in names
            for file in self.record(name).get("files", {})
            if file.startswith("results/")
        ]

    def _withdraw(self, name: str) -> None:
        for file in self.record(name).get("files", {}):
            (self.path / file).unlink(missing_ok=True)
        (self.path / "failed" / f"{name}.ipynb").unlink(missing_ok=True)
        if self.state["notebooks"].pop(name, None):
            self.save()


def new_folder(runs_dir: Path, profile: str) -> Path:
    """Make ``runs_dir/<time>-<profile>``, unique among concurrent runs."""
    runs_dir.mkdir(parents=True, exist_ok=True)
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{profile}"
    number = 1
    while True:
        folder = runs_dir / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def newest_folder(runs_dir: Path, profile: str) -> Path:
    """The run of a profile that was started last; ``Refused`` if none."""
    found = {}
    for state in runs_dir.glob(f"*/{STATE}"):
        content = json.loads(state.read_text())
        if content.get("profile") == profile:
            found[content["started"], state.parent.name] = state.parent
    if not found:
        raise Refused(f"no run with the profile {profile} in {runs_dir}")
    return found[max(found)]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
