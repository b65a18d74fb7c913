"""Run notebooks in order into a run folder; what the command line calls.

Each notebook gets a kernel of its own. One that fails is reported and the
others go on, save those that need it. The source notebooks are only read.
"""

import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from helpers import manifest, provenance, runfolder
from helpers.execution import Failure, check_kernel, execute
from helpers.manifest import Notebook, Refused
from helpers.paths import NOTEBOOKS_DIR, RUNS_DIR, atomic_write
from helpers.signals import Interrupted, StopSignals

DONE, KEPT = "done", "kept"
log = logging.getLogger(__name__)


@dataclass
class Report:
    """What became of each notebook, in order, and the run's exit status."""

    folder: Path
    status: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    total: float = 0.0

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
) -> Report:
    """Execute the selected notebooks into a run folder.

    ``settings`` are notebook parameters; each goes to the notebooks that
    have it. ``resume`` goes on with ``run_dir``, else with the newest run of
    the profile, and takes over that run's profile and settings where none
    are given. Raises ``Refused`` before anything starts.
    """
    settings = settings or {}
    notebooks = manifest.read_notebooks(notebooks_dir)
    selected = manifest.select(notebooks, only)
    manifest.check_settings(settings, selected)
    check_kernel()
    if not resume:
        # Before a folder is made: in a new one, nothing is there yet.
        _Run(runfolder.RunFolder(runs_dir), notebooks).check_needs(selected)
    if run_dir is None:
        profile = profile or "quick"
        place = runfolder.newest_folder if resume else runfolder.new_folder
        run_dir = place(runs_dir, profile)
    folder = runfolder.RunFolder(run_dir)
    with folder.locked():
        folder.open(resume)
        _settle(folder, profile, settings)
        book = _Run(folder, notebooks)
        book.check_needs(selected)
        folder.clear_staging()
        folder.save()
        versions = json.dumps(provenance.versions(), indent=1)
        atomic_write(folder.path / "versions.json", versions + "\n")
        with _logging(folder.path / "log.txt"), StopSignals() as signals:
            try:
                return book.execute(selected, signals)
            except Interrupted as stop:
                folder.clear_staging()
                log.error("interrupted by %s", stop)
                stop.folder = folder.path
                raise


@contextmanager
def _logging(path: Path) -> Iterator[None]:
    """Send this module's lines to the screen and, with times, to a file."""
    file = logging.FileHandler(path, encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    handlers = [logging.StreamHandler(sys.stdout), file]
    log.setLevel(logging.INFO)
    log.propagate = False
    for handler in handlers:
        log.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            log.removeHandler(handler)
        file.close()


def _settle(
    folder: runfolder.RunFolder,
    profile: str | None,
    settings: dict[str, object],
) -> None:
    """Settle the run's profile and settings, given and earlier ones."""
    state = folder.state
    before = state.get("profile")
    if before and profile and profile != before:
        raise Refused(
            f"{folder.path} holds a run with the profile {before}, not"
            f" {profile}; choose another --run-dir"
        )
    state["profile"] = profile or before or "quick"
    state["settings"] = state.get("settings", {}) | settings
    state.setdefault("started", datetime.now(UTC).isoformat())


class _Run:
    """The notebooks of one run and what the folder knows of them."""

    def __init__(
        self, folder: runfolder.RunFolder, notebooks: list[Notebook]
    ) -> None:
        self.folder = folder
        self.by_number = {n.number: n for n in notebooks}

    def needs(self, notebook: Notebook) -> list[str]:
        """Names of the notebooks whose results this one reads."""
        return [self.by_number[number].name for number in notebook.needs]

    def parameters(self, notebook: Notebook) -> dict[str, object]:
        """What this notebook is given, save its run folder."""
        state = self.folder.state
        own = {
            key: value
            for key, value in state["settings"].items()
            if key in notebook.parameters
        }
        return {"PROFILE": state["profile"], **own}

    def fingerprint(self, notebook: Notebook) -> dict[str, str]:
        """What this notebook's results would be made of now."""
        needs = {
            name: self.folder.record(name).get("files", {})
            for name in self.needs(notebook)
        }
        return provenance.fingerprint(
            notebook, self.parameters(notebook), needs
        )

    def reason_to_run(self, notebook: Notebook) -> str | None:
        """Why the folder's results will not do; None where they will."""
        record = self.folder.record(notebook.name)
        if not record:
            return "missing"
        if record["status"] != "done":
            return "failed before" if "error" in record else "unfinished"
        if damaged := self.folder.damaged(notebook.name):
            return f"{damaged} is missing or altered"
        changed = provenance.changes(
            record["fingerprint"], self.fingerprint(notebook)
        )
        return "; ".join(changed) or None

    def check_needs(self, selected: list[Notebook]) -> None:
        """Refuse a notebook whose inputs neither exist nor get made."""
        for notebook in selected:
            for number in notebook.needs:
                needed = self.by_number[number]
                if needed in selected:
                    continue
                if reason := self.reason_to_run(needed):
                    raise Refused(
                        f"{notebook.name} needs {needed.name}"
                        f" ({reason}); add {number} to --only"
                    )

    def execute(
        self, selected: list[Notebook], signals: StopSignals
    ) -> Report:
        """Run what has to run, in order; an interruption is raised."""
        report = Report(self.folder.path)
        start = time.perf_counter()
        state = self.folder.state
        given = "".join(f", {k}={v!r}" for k, v in state["settings"].items())
        log.info("profile %s%s", state["profile"], given)
        log.info("run folder %s", self.folder.path)
        for count, notebook in enumerate(selected, 1):
            head = f"[{count}/{len(selected)}] {notebook.name}"
            begun = time.perf_counter()
            status = self._step(notebook, head, report, signals)
            seconds = time.perf_counter() - begun
            report.status[notebook.name] = status
            report.seconds[notebook.name] = seconds
            log.info("%s: %s, %.1f s", head, status, seconds)
        report.total = time.perf_counter() - start
        return report

    def _step(
        self,
        notebook: Notebook,
        head: str,
        report: Report,
        signals: StopSignals,
    ) -> str:
        """Run, keep or skip one notebook, and say which."""
        lost = [
            need
            for need in self.needs(notebook)
            if report.status.get(need, DONE) not in (DONE, KEPT)
        ]
        if lost:
            return f"skipped because {', '.join(lost)} failed"
        reason = self.reason_to_run(notebook)
        if reason is None:
            return KEPT
        log.info("%s: running (%s)", head, reason)
        failure = self._attempt(notebook, signals)
        if failure is None:
            return DONE
        log.error(
            "%s failed in code cell %d: %s\n%s",
            notebook.path.name,
            failure.cell,
            failure.error,
            failure.traceback,
        )
        return f"failed in code cell {failure.cell}"

    def _attempt(
        self, notebook: Notebook, signals: StopSignals
    ) -> Failure | None:
        """Execute one notebook in a staging folder; publish on success."""
        begun = time.perf_counter()
        needs = self.needs(notebook)
        staged = self.folder.stage(notebook.name, needs)
        output = staged / "notebooks" / notebook.path.name
        output.parent.mkdir()
        parameters = {**self.parameters(notebook), "RUN_DIR": str(staged)}
        made_of = self.fingerprint(notebook)
        bar = sys.stderr.isatty() and {"desc": notebook.name, "leave": False}
        failure = execute(notebook, parameters, output, bar)
        signals.check()
        seconds = round(time.perf_counter() - begun, 1)
        if failure is None:
            try:
                self.folder.publish(
                    notebook.name,
                    staged,
                    needs,
                    fingerprint=made_of,
                    seconds=seconds,
                )
            except ValueError as error:
                failure = Failure(0, str(error), "")
        if failure:
            self.folder.set_aside(
                notebook.name,
                staged,
                output,
                error=failure.error,
                cell=failure.cell,
                traceback=failure.traceback,
            )
        return failure
