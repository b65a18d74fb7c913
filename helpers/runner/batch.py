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
from helpers.runner.kernel import (
    KILLED,
    Interrupted,
    attempt,
    execute,
    stop_signals,
)
from helpers.runner.notebooks import Notebook, Refused
from helpers.runner.study import (
    STEP,
    Step,
    check_grid,
    expanded,
    gather,
    publish_tables,
    read_study,
)
from helpers.runner.workers import Here, There, workers
from helpers.session import say

DONE, KEPT = "done", "kept"
PLACES = {"DATA_DIR"}
"""Parameters that do not change what a study measures."""


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
    grid: dict[str, list] | None = None,
    study: str | None = None,
    publish: bool = False,
    run_dir: Path | None = None,
    resume: bool = False,
    again: str = "python -m helpers.run",
    jobs: int = 1,
    scheduler: str | None = None,
    timeout: int | None = None,
) -> Report:
    """Execute notebooks into a run folder: some, a grid of them, or a study.

    A notebook starts when those of its step that it comes ``after`` have
    ended, well or not.

    Parameters
    ----------
    profile : how much to compute; None is a study's own, that of the run that
        is resumed, or else quick
    only : the notebooks, by number or name; None: all
    settings : parameters of the notebooks that have them; over a study's own
    grid : values of parameters; each combination has a folder of its own
    study : one whose steps run in place of single notebooks, by its name
    publish : write the study's tables, each whole, into ``data/measured``, if
        all its steps are done
    run_dir : the run's folder; None: a new one, a study's, or with ``resume``
        the newest of the profile
    resume : re-run only what is missing or stale. Notebooks without a grid
        take over the earlier run's settings where none are given
    again : the command that was given; what makes it go on is added
    jobs : notebooks at a time
    scheduler : address of a Dask cluster that executes them instead
    timeout : seconds that each code cell of a notebook may take

    Raises ``Refused`` before anything starts, and where a table that is to be
    published is missing.
    """
    settings, grid = settings or {}, grid or {}
    there = notebooks.read_notebooks(paths.NOTEBOOKS_DIR)
    if study:
        plan = read_study(study, there)
        only = [n for step in plan["steps"] for n in step["notebooks"]]
        changed = [*sorted(settings.keys() - PLACES)]
        changed += ["--profile"] if profile else []
        if publish and changed:
            raise Refused(
                f"--publish: with another {', '.join(changed)} it is not this"
                f" study any more; change data/studies/{study}.yaml instead"
            )
    else:
        step = STEP | {"notebooks": only, "grid": grid}
        # Without one, it is that of the run that is resumed.
        step["profile"] = "quick" if grid or run_dir is None else None
        plan = {"steps": [step]}
    selected = notebooks.select(there, only)
    notebooks.check_settings(settings, selected)
    check_grid(grid, selected, "--set")
    run_dir = run_dir or _usual_folder(profile, grid, study, resume)
    steps = [
        found
        for step in plan["steps"]
        for found in expanded(step, there, settings, profile)
    ]
    report = Report(root := paths.folder(run_dir))
    report.again = f"{again} --resume{_option(root)}"
    many = bool(study or grid)
    with folders.claimed(root, resume, many), stop_signals() as came:
        try:
            jobs = min(jobs, sum(len(step.selected) for step in steps))
            with workers(jobs, scheduler, root) as pool:
                cells = _cells(steps, root, resume, many)
                _Batch(cells, report, pool, timeout).run(came)
        except Interrupted as stop:
            name = stop.args[0].name
            log(root, f"Interrupted by {name}; go on: {report.again}")
            raise
    tables = gather(steps, root) if many else {}
    if publish and not report.exit_code:
        report.published = publish_tables(plan["publish"], tables)
    return report


def _usual_folder(
    profile: str | None, grid: dict, study: str | None, resume: bool
) -> Path:
    """A study's folder; else a new one, or the one that is to be resumed."""
    if study:
        tail = f"-{profile}" if profile else ""
        return paths.RUNS_DIR / f"study-{study}{tail}"
    place = folders.newest_folder if resume else folders.new_folder
    kind = (profile or "quick") + ("-grid" if grid else "")
    return place(paths.RUNS_DIR, kind)


def _cells(
    steps: Sequence[Step], root: Path, resume: bool, alone: bool
) -> list[Cell]:
    """The notebooks of all steps; begins the run's log.

    alone : the steps' settings stand without those of earlier runs
    """
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
    pool: Here | There
    timeout: int | None
    running: dict[Future, tuple[int, dict]] = field(default_factory=dict)
    killed: set[int] = field(default_factory=set)
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
                while ready and len(self.running) < self._slots():
                    self._start(*ready.pop(0))
                bar.n = len(self.report.status)
                bar.set_postfix_str(self._progress())
                done = wait(self.running, 1.0, FIRST_COMPLETED).done
                if came:
                    raise Interrupted(came[0])
                for future in done:
                    number, facts = self.running.pop(future)
                    status, seconds = self._settle(future, number, facts)
                    if self._again(number, status):
                        ready.append((number, "killed"))
                        continue
                    self.executed += 1
                    plan.done(self._ended(number, status, seconds))
        self.report.whole = time.perf_counter() - self.begun
        for cell in self.cells:  # in their order
            status = self.report.status.pop(cell.name)
            self.report.status[cell.name] = status

    def _slots(self) -> int:
        return 1 if self.killed else self.pool.slots()

    def _again(self, number: int, status: str) -> bool:
        """Whether a cell runs again, for want of memory for several.

        From then on they run one at a time.
        """
        several = isinstance(self.pool, Here) and self.pool.slots() > 1
        if KILLED not in status or number in self.killed or not several:
            return False
        self.killed.add(number)
        self._log(number, f"{KILLED}; again, and one at a time from now on")
        return True

    def _start(self, number: int, lack: str) -> None:
        """Hand a cell to a worker."""
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
            cell, text = failure
            status = f"failed in code cell {cell}" if cell else "failed"
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
        names = [
            self.cells[number].name for number, _ in self.running.values()
        ]
        running = f"{', '.join(names)} running, " if names else ""
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


def _option(run_dir: Path) -> str:
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


def run_in_place(only: Sequence[str] | None = None) -> Report:
    """Execute the selected notebooks (quick), then replace all or none.

    Raises ``Refused`` where one cannot be shared (see ``blemishes``).
    """
    report = run("quick", only)
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
    paths.FIGURES_DIR.mkdir(exist_ok=True)
    for name, text in cleaned.items():
        place = paths.NOTEBOOKS_DIR / f"{name}.ipynb"
        report.published.append(paths.atomic_write(place, text))
        pattern = f"{name.split('_')[0]}_*.*"
        for old in paths.FIGURES_DIR.glob(pattern):
            old.unlink()
        for new in (report.folder / "figures").glob(pattern):
            shutil.copyfile(new, paths.FIGURES_DIR / new.name)
    return report
