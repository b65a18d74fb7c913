"""Run notebooks into run folders; what the command line calls.

Each notebook gets a kernel of its own. One that fails is reported and the
others go on. The source notebooks are only read, but for `run_in_place`.
"""

import json
import os
import shlex
import shutil
import sys
import textwrap
import time
from collections.abc import Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Future,
    wait,
)
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import nbformat
from tqdm import tqdm

from helpers import paths
from helpers.runner import folder as folders
from helpers.runner import notebooks
from helpers.runner.folder import RunFolder
from helpers.runner.kernel import Interrupted, attempt, execute, stop_signals
from helpers.runner.notebooks import Notebook, Refused
from helpers.runner.workers import Here, workers
from helpers.session import say

DONE, KEPT = "done", "kept"


@dataclass
class Report:
    """What became of each notebook, in order.

    ``again`` is the command that goes on, ``published`` what was written
    outside the run's folder, and ``whole`` the seconds of all together.
    """

    folder: Path
    status: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    again: str = ""
    published: list[Path] = field(default_factory=list)
    whole: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 where every selected notebook is done, else 1."""
        return int(not set(self.status.values()) <= {DONE, KEPT})


class Step(NamedTuple):
    """Notebooks with one set of parameters, and a folder of their own."""

    selected: list[Notebook]
    settings: dict[str, object]
    name: str = ""
    """The folder, below the run's; "" for the run's own."""
    columns: dict[str, object] = {}
    """What tells its results from the others', by name of a column."""


class Cell(NamedTuple):
    """One notebook of one step, to be executed once those ``before`` are."""

    name: str
    notebook: Notebook
    folder: RunFolder
    before: list[int]


def run(
    profile: str | None = None,
    only: Sequence[str] | None = None,
    settings: dict[str, object] | None = None,
    run_dir: Path | None = None,
    resume: bool = False,
    notebooks_dir: Path = paths.NOTEBOOKS_DIR,
    runs_dir: Path = paths.RUNS_DIR,
    **how: object,
) -> Report:
    """Execute the selected notebooks into a run folder.

    ``settings`` are parameters of notebooks that have them. ``resume`` goes
    on with ``run_dir``, else with the newest run of the profile, and takes
    over that run's profile and settings where none are given. ``how`` goes to
    `run_steps`. Raises ``Refused`` before anything starts.
    """
    settings = settings or {}
    selected = notebooks.select(notebooks.read_notebooks(notebooks_dir), only)
    notebooks.check_settings(settings, selected)
    if run_dir is None:
        profile = profile or "quick"
        place = folders.newest_folder if resume else folders.new_folder
        run_dir = place(runs_dir, profile)
    if profile:
        settings = {"PROFILE": profile, **settings}
    again = "python -m helpers.run"
    again += f" --only {','.join(only)}" if only else ""
    return run_steps([Step(selected, settings)], run_dir, again, resume, **how)


def run_steps(
    steps: Sequence[Step],
    run_dir: Path,
    again: str,
    resume: bool = False,
    alone: bool = False,
    jobs: int = 1,
    scheduler: str | None = None,
    timeout: int | None = None,
) -> Report:
    """Execute the notebooks of all steps, each step in its folder.

    A notebook starts when those of its step that it comes ``after`` have
    ended, well or not.

    Parameters
    ----------
    run_dir : the run's folder, in which those of the steps lie
    again : the command that was given; what makes it go on is added
    alone : the steps' settings stand alone, without those of earlier runs
    jobs : notebooks at a time, each in a process of its own from two on
    scheduler : address of a Dask cluster that executes them instead
    timeout : seconds that each code cell of a notebook may take

    Raises ``Refused`` before anything starts.
    """
    root = paths.folder(run_dir)
    again += f" --resume{option(root)}"
    given = {"jobs": jobs > 1 and jobs, "scheduler": scheduler}
    for name, value in {**given, "timeout": timeout}.items():
        again += f" --{name} {value}" if value else ""
    report = Report(root, again=again)
    many = any(step.name for step in steps)
    with folders.claimed(root, resume, many), stop_signals() as came:
        try:
            jobs = min(jobs, sum(len(step.selected) for step in steps))
            with workers(jobs, scheduler, root) as pool:
                cells = _cells(steps, root, resume, alone)
                _Batch(cells, report, pool, timeout).run(came)
        except Interrupted as stop:
            log(root, f"Interrupted by {stop.args[0].name}; go on: {again}")
            raise
    return report


def _cells(
    steps: Sequence[Step], root: Path, resume: bool, alone: bool
) -> list[Cell]:
    """The notebooks of all steps, and the beginning of the run's log."""
    cells, lines = [], [f"run folder {root}"]
    for step in steps:
        folder = RunFolder(root / step.name, step.settings, resume, alone)
        numbers, first = [n.number for n in step.selected], len(cells)
        for notebook in step.selected:
            name = f"{step.name}/{notebook.name}".removeprefix("/")
            earlier = [n for n in numbers if n in notebook.after]
            before = [first + numbers.index(n) for n in earlier]
            cells.append(Cell(name, notebook, folder, before))
        given = [f"{k}={v!r}" for k, v in folder.settings.items()]
        lines.append(f"{step.name} parameters {', '.join(given)}".strip())
    versions = json.dumps(folders.versions(), indent=1)
    paths.atomic_write(root / "versions.json", versions + "\n")
    log(root, "\n".join(lines))
    return cells


@dataclass
class _Batch:
    """The cells of a run on their way from waiting to done."""

    cells: list[Cell]
    report: Report
    pool: Here
    timeout: int | None
    running: dict[Future, tuple[int, dict]] = field(default_factory=dict)
    executed: int = 0
    begun: float = field(default_factory=time.perf_counter)

    def run(self, came: list) -> None:
        """Execute all cells, in order where they allow it."""
        before = {k: cell.before for k, cell in enumerate(self.cells)}
        plan, ready = TopologicalSorter(before), []
        plan.prepare()
        with tqdm(
            total=len(self.cells),
            bar_format="{bar:20} {n_fmt} of {total_fmt}{postfix}",
            disable=not sys.stderr.isatty() or len(self.cells) == 1,
            leave=False,
        ) as bar:
            while plan.is_active():
                for number in plan.get_ready():
                    _, notebook, folder, _ = self.cells[number]
                    if lack := folder.lack(notebook):
                        ready.append((number, lack))
                    else:
                        plan.done(self._ended(number, KEPT))
                ready.sort()
                while ready and len(self.running) < self.pool.slots():
                    self._start(*ready.pop(0))
                bar.n = len(self.report.status)
                bar.set_postfix_str(self._progress())
                done = wait(self.running, 1.0, FIRST_COMPLETED).done
                if came:
                    raise Interrupted(came[0])
                for future in done:
                    number, facts = self.running.pop(future)
                    self.executed += 1
                    status = self._settle(future, number, facts)
                    plan.done(self._ended(number, *status))
        self.report.whole = time.perf_counter() - self.begun
        for cell in self.cells:  # in their order
            status = self.report.status.pop(cell.name)
            self.report.status[cell.name] = status

    def _start(self, number: int, lack: str) -> None:
        """Hand a cell to a worker; without workers, execute it."""
        _, notebook, folder, _ = self.cells[number]
        self._log(number, f"running ({lack})")
        facts = folder.made_of(notebook)
        try:
            task = execute, notebook.path.absolute(), facts["parameters"]
            staging = folder.stage(notebook.name)
            future = self.pool.submit(attempt, *task, staging, self.timeout)
        except Exception as error:  # no space, no cluster any more
            future = Future()
            future.set_exception(error)
        self.running[future] = number, facts

    def _settle(
        self, future: Future, number: int, facts: dict
    ) -> tuple[str, float]:
        """Publish what a cell left, or set it aside: its status, seconds."""
        name, notebook, folder, _ = self.cells[number]
        try:
            staged, failure, seconds = future.result()
        except Exception as error:  # of the worker, or of its folder
            return f"failed: {_reason(error)}", 0.0
        try:
            if failure is None:
                folder.publish(notebook.name, staged, facts)
                return DONE, seconds
            number, text = failure
            status = f"failed in code cell {number}" if number else "failed"
            if "\n" in text:
                log(self.report.folder, f"{name} {status}:\n{text}")
            status += f": {_cause(text)}"
            file = f"{notebook.name}.ipynb"  # as far as it got
            folder.place(staged / "notebooks" / file, f"failed/{file}")
        except OSError as error:
            status = status if failure else f"failed: {_reason(error)}"
        finally:  # the disk may be full
            shutil.rmtree(staged, ignore_errors=True)
        return status, seconds

    def _ended(self, number: int, status: str, seconds: float = 0.0) -> int:
        """Report a cell's end; returns its number."""
        name = self.cells[number].name
        self.report.status[name] = status
        self.report.seconds[name] = seconds
        text = f"{status}, {seconds:.1f} s"
        more = f"; {self._progress()}" if len(self.cells) > 1 else ""
        self._log(number, text + more)
        return number

    def _progress(self) -> str:
        """How far the run is, in words."""
        states = self.report.status.values()
        failed = sum(status not in (DONE, KEPT) for status in states)
        running = f"{len(self.running)} running, " if self.running else ""
        text = f"{running}{failed} failed"
        left = len(self.cells) - len(states)
        if left and self.executed:
            each = (time.perf_counter() - self.begun) / self.executed
            text += f", about {timedelta(seconds=round(each * left))} left"
        return text

    def _log(self, number: int, text: str) -> None:
        head = f"[{number + 1}/{len(self.cells)}] {self.cells[number].name}"
        log(self.report.folder, f"{head}: {text}")


def _reason(error: Exception) -> str:
    """Why a cell could not be executed or published."""
    if type(error).__name__ == "KilledWorker":
        return "its workers died again and again, for want of memory perhaps"
    if isinstance(error, CancelledError):
        return "the cluster's scheduler is not reached any more"
    return _cause(f"{type(error).__name__}: {error}")


def _cause(text: str) -> str:
    """The last line of a traceback, or a sentence, for a line of its own."""
    return textwrap.shorten(text.strip().splitlines()[-1], 160)


def option(run_dir: Path) -> str:
    """A run folder as a command's option, its path from here."""
    # Between two drives of Windows there is no relative path.
    with suppress(ValueError):
        run_dir = Path(os.path.relpath(run_dir))
    return f" --run-dir {shlex.quote(run_dir.as_posix())}"


def log(root: Path, text: str) -> None:
    """Print, and write with the time to the run's log, if it can be."""
    with tqdm.external_write_mode():
        say(text)
    path = root / "log.txt"
    with (
        suppress(OSError),
        path.open("a", encoding="utf-8", errors="backslashreplace") as file,
    ):
        file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")


def run_in_place(
    only: Sequence[str] | None = None,
    notebooks_dir: Path = paths.NOTEBOOKS_DIR,
    runs_dir: Path = paths.RUNS_DIR,
    figures_dir: Path = paths.FIGURES_DIR,
) -> Report:
    """Execute the selected notebooks (quick), then replace all or none.

    Raises ``Refused`` where one cannot be shared (see ``blemishes``).
    """
    report = run("quick", only, runs_dir=runs_dir, notebooks_dir=notebooks_dir)
    if report.exit_code:
        report.again = "python -m helpers.run --in-place"
        return report
    cleaned = {}
    for name in report.status:
        executed = report.folder / "notebooks" / f"{name}.ipynb"
        nb = notebooks.clean(nbformat.read(executed, as_version=4))
        if wrong := "; ".join(notebooks.blemishes(nb)):
            raise Refused(f"{name}.ipynb: {wrong}; nothing was replaced")
        cleaned[name] = nbformat.writes(nb).rstrip("\n") + "\n"
    figures_dir.mkdir(exist_ok=True)
    for name, text in cleaned.items():
        path = paths.atomic_write(notebooks_dir / f"{name}.ipynb", text)
        report.published.append(path)
        pattern = f"{name.split('_')[0]}_*.*"
        for old in figures_dir.glob(pattern):
            old.unlink()
        for new in (report.folder / "figures").glob(pattern):
            shutil.copyfile(new, figures_dir / new.name)
    return report
