"""Run notebooks in order into a run folder; what the command line calls.

Each notebook gets a kernel of its own. One that fails is reported and the
others go on, save those that need it. The source notebooks are only read.
"""

import json
import os
import shlex
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from signal import Signals

from helpers.paths import DATA_DIR, NOTEBOOKS_DIR, RUNS_DIR, atomic_write
from helpers.runner import book, provenance
from helpers.runner.book import Notebook
from helpers.runner.folder import RunFolder, new_folder, newest_folder
from helpers.runner.kernel import Interrupted, execute, stop_signals
from helpers.terminal import say

DONE, KEPT = "done", "kept"


@dataclass
class Report:
    """What became of each notebook, in order, and the run's exit status.

    ``again`` is the command that goes on, ``published`` the reference
    results that a study has written.
    """

    folder: Path
    status: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    again: str = ""
    published: list[Path] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 where every selected notebook is done, else 1."""
        return int(not set(self.status.values()) <= {DONE, KEPT})


def run(
    profile: str | None = None,
    only: Sequence[str] | None = None,
    settings: dict[str, object] | None = None,
    run_dir: Path | None = None,
    resume: bool = False,
    notebooks_dir: Path = NOTEBOOKS_DIR,
    runs_dir: Path = RUNS_DIR,
    again: str | None = None,
) -> Report:
    """Execute the selected notebooks into a run folder.

    ``settings`` are notebook parameters; each goes to the notebooks that
    have it. ``resume`` goes on with ``run_dir``, else with the newest run of
    the profile, and takes over that run's profile and settings where none
    are given. ``again`` is the command that goes on after an interruption,
    where it is another than the runner's; such a caller's settings stand
    alone. Raises ``Refused`` before anything starts.
    """
    settings = settings or {}
    alone = again is not None
    notebooks = book.read_notebooks(notebooks_dir)
    selected = book.select(notebooks, only)
    book.check_settings(settings, selected)
    if run_dir is None:
        profile = profile or "quick"
        run_dir = (newest_folder if resume else new_folder)(runs_dir, profile)
    if profile:
        settings = {"PROFILE": profile, **settings}
    folder = RunFolder(run_dir)
    again = again or resume_command(folder.path)
    claimed = folder.claimed(settings, resume, alone)
    with claimed, stop_signals() as came:
        batch = _Batch(folder, came, again)
        try:
            return batch.execute(selected)
        except Interrupted as stop:
            batch.say(f"Interrupted by {stop.args[0].name}; go on: {again}")
            raise


def resume_command(folder: Path) -> str:
    """The command that goes on with a run."""
    return f"python -m helpers.run --resume --run-dir {quoted(folder)}"


def quoted(folder: Path) -> str:
    """A folder's path from here, as a command line takes it."""
    # Between two drives of Windows there is no relative path.
    with suppress(ValueError):
        folder = Path(os.path.relpath(folder))
    return shlex.quote(folder.as_posix())


@dataclass
class _Batch:
    """The folder that this run fills, and the signals that came."""

    folder: RunFolder
    came: list[Signals]
    again: str

    def say(self, text: str) -> None:
        """Print, and write with the time to the run's log."""
        say(text)
        log = self.folder.path / "log.txt"
        with log.open("a", encoding="utf-8", errors="backslashreplace") as to:
            to.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")

    def execute(self, selected: list[Notebook]) -> Report:
        """Run what has to run, in order; an interruption is raised."""
        path = self.folder.path
        versions = json.dumps(provenance.versions(), indent=1)
        atomic_write(path / "versions.json", versions + "\n")
        given = [f"{k}={v!r}" for k, v in self.folder.settings.items()]
        self.say(f"run folder {path}\nparameters {', '.join(given)}")
        report = Report(path, again=self.again)
        for count, notebook in enumerate(selected, 1):
            head = f"[{count}/{len(selected)}] {notebook.name}"
            begun = time.perf_counter()
            status = self._step(notebook, head)
            seconds = time.perf_counter() - begun
            report.status[notebook.name] = status
            report.seconds[notebook.name] = seconds
            self.say(f"{head}: {status}, {seconds:.1f} s")
        return report

    def _step(self, notebook: Notebook, head: str) -> str:
        """Run, keep or skip one notebook, and say which."""
        for need in notebook.needs:
            if lack := self._lack(need):
                return f"skipped: the results of {need.name} are {lack}"
        lack = self._lack(notebook)
        if lack is None:
            return KEPT
        self.say(f"{head}: running ({lack})")
        staged = self.folder.stage(notebook)
        output = staged / "notebooks" / notebook.path.name
        made_of = self._made_of(notebook)
        parameters = {**made_of["parameters"], "RUN_DIR": str(staged)}
        failure = execute(notebook.path, parameters, output)
        if self.came:
            raise Interrupted(self.came[0])
        if failure is None:
            self.folder.publish(notebook, staged, made_of)
            return DONE
        self.folder.set_aside(output)
        where = f"failed in code cell {failure.cell}"
        self.say(f"{notebook.path.name} {where}:\n{failure.traceback}")
        return where

    def _lack(self, notebook: Notebook) -> str | None:
        """Why the folder's results will not do; None where they will."""
        record = self.folder.record(notebook.name)
        if not record:
            return "missing"
        new = self._made_of(notebook)
        changed = [k for k in new if record["made_of"].get(k) != new[k]]
        return f"stale: {', '.join(changed)} changed" if changed else None

    def _made_of(self, notebook: Notebook) -> dict[str, object]:
        """All that this notebook's results depend on, as JSON can hold it."""
        given, names = self.folder.settings.items(), notebook.parameters
        given = {k: v for k, v in given if k in names}
        asks = "DATASET" in names
        needs = [self.folder.record(need.name) for need in notebook.needs]
        return {
            "cells": notebook.digest,
            "helpers or published tables": provenance.code_digest(),
            "parameters": given,
            "package versions": provenance.versions(),
            "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "tensorflow"),
            "WORKBOOK_DATA": str(DATA_DIR),
            "data or weights": provenance.data_digest(given, asks),
            "reference results": provenance.measured_digest(notebook.cells),
            "results it needs": [need.get("finished") for need in needs],
        }
