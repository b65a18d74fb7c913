"""Run notebooks into run folders; what the command line calls.

Each notebook gets a kernel of its own. One that fails is reported and the
others go on. The source notebooks are only read, but for `run_in_place`.
"""

import os
import shlex
import shutil
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


@dataclass(eq=False)
class Cell:
    """One notebook of one step, and what became of it.

    It begins once those ``before`` have ended. ``lack`` says why it has to
    run, ``made_of`` what its results depend on.
    """

    number: int
    name: str
    notebook: Notebook
    folder: RunFolder
    before: list["Cell"]
    lack: str | None = None
    made_of: dict[str, object] = field(default_factory=dict)
    status: str = ""
    seconds: float = 0.0


@dataclass
class Report:
    """What became of each notebook, in order.

    ``again`` is the command that goes on, ``published`` what was written
    outside the run's folder, and ``whole`` the seconds of all together.
    """

    folder: Path
    again: str = ""
    cells: list[Cell] = field(default_factory=list)
    published: list[Path] = field(default_factory=list)
    whole: float = 0.0

    @property
    def status(self) -> dict[str, str]:
        """By name: done, kept, or why it failed."""
        return {cell.name: cell.status for cell in self.cells}

    @property
    def exit_code(self) -> int:
        """0 where every selected notebook is done, else 1."""
        return int(not {cell.status for cell in self.cells} <= {DONE, KEPT})

    def log(self, text: str) -> None:
        """Print, and write with the time to the run's log, if it can be."""
        with tqdm.external_write_mode():  # bars of running notebooks
            say(text)
        mode = {"encoding": "utf-8", "errors": "backslashreplace"}
        with (
            suppress(OSError),
            (self.folder / "log.txt").open("a", **mode) as file,
        ):
            file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")


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
        changed = [k for k in sorted(settings) if k != "DATA_DIR"]
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
    root = paths.folder(run_dir)
    report = Report(root, f"{again} --resume{_option(root)}")
    many = bool(study or grid)
    with folders.claimed(root, resume, many), stop_signals() as came:
        try:
            jobs = min(jobs, sum(len(step.selected) for step in steps))
            with workers(jobs, scheduler, root) as pool:
                _prepare(report, steps, alone=many)
                _Batch(report, pool, timeout).run(came)
        except Interrupted as stop:
            name = stop.args[0].name
            report.log(f"Interrupted by {name}; go on: {report.again}")
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
    return place((profile or "quick") + ("-grid" if grid else ""))


def _prepare(report: Report, steps: Sequence[Step], alone: bool) -> None:
    """Make the steps' folders and the report's cells; begin the log.

    alone : the steps' settings stand without those of earlier runs
    """
    lines = [f"run folder {report.folder}"]
    for step in steps:
        place = report.folder / step.name
        folder = RunFolder(place, step.settings, alone)
        cells = {
            notebook.number: Cell(
                number=len(report.cells) + count,
                name=f"{step.name}/{notebook.name}".removeprefix("/"),
                notebook=notebook,
                folder=folder,
                before=[],
            )
            for count, notebook in enumerate(step.selected, 1)
        }
        for cell in cells.values():
            after = cell.notebook.after
            cell.before = [cells[n] for n in after if n in cells]
        report.cells += cells.values()
        given = [f"{k}={v!r}" for k, v in folder.settings.items()]
        lines.append(f"{step.name} parameters {', '.join(given)}".strip())
    report.log("\n".join(lines))


@dataclass
class _Batch:
    """The cells of a run on their way from waiting to done."""

    report: Report
    pool: Here | There
    timeout: int | None
    running: dict[Future, Cell] = field(default_factory=dict)
    killed: set[Cell] = field(default_factory=set)
    executed: int = 0

    def run(self, came: list) -> None:
        """Execute all cells, in order where they allow it."""
        begun, ready = time.perf_counter(), []
        plan = TopologicalSorter({c: c.before for c in self.report.cells})
        plan.prepare()
        while plan.is_active():
            for cell in plan.get_ready():
                cell.lack = cell.folder.lack(cell.notebook)
                if cell.lack:
                    ready.append(cell)
                else:
                    cell.status = KEPT
                    self._log(cell, KEPT)
                    plan.done(cell)
            ready.sort(key=lambda cell: cell.number)
            slots = 1 if self.killed else self.pool.slots()
            while ready and len(self.running) < slots:
                self._start(ready.pop(0))
            ended = wait(self.running, 1.0, FIRST_COMPLETED).done
            if came:
                raise Interrupted(came[0])
            for future in ended:
                cell = self.running.pop(future)
                status, cell.seconds = self._settle(future, cell)
                if self._runs_again(cell, status):
                    ready.append(cell)
                    continue
                cell.status = status
                self.executed += 1
                self.report.whole = time.perf_counter() - begun
                seconds = f"{cell.seconds:.1f} s"
                self._log(cell, f"{status}, {seconds}{self._progress()}")
                plan.done(cell)

    def _start(self, cell: Cell) -> None:
        """Hand a cell to a worker."""
        self._log(cell, f"running ({cell.lack})")
        cell.made_of = cell.folder.made_of(cell.notebook)
        source, name = cell.notebook.path.absolute(), cell.notebook.name
        task = attempt, execute, source, cell.made_of["parameters"]
        try:
            staging = cell.folder.stage(name)
            future = self.pool.submit(*task, staging, self.timeout)
        except Exception as error:  # no space, no cluster any more
            future = Future()
            future.set_exception(error)
        self.running[future] = cell

    def _settle(self, future: Future, cell: Cell) -> tuple[str, float]:
        """Publish what a cell left, or set it aside: its status, seconds."""
        try:
            staged, failure, seconds = future.result()
        except Exception as error:  # of the worker, or of its folder
            return f"failed: {_reason(error)}", 0.0
        name = cell.notebook.name
        try:
            if failure is None:
                cell.folder.publish(name, staged, cell.made_of)
                return DONE, seconds
            where, text = failure
            status = f"failed in code cell {where}" if where else "failed"
            if "\n" in text:
                self.report.log(f"{cell.name} {status}:\n{text}")
            status += f": {_cause(text)}"
            file = f"{name}.ipynb"  # as far as it got
            cell.folder.place(staged / "notebooks" / file, f"failed/{file}")
        except OSError as error:
            status = status if failure else f"failed: {_reason(error)}"
        finally:  # the disk may be full
            shutil.rmtree(staged, ignore_errors=True)
        return status, seconds

    def _runs_again(self, cell: Cell, status: str) -> bool:
        """Whether memory lacked for several; they run one at a time then."""
        several = isinstance(self.pool, Here) and self.pool.jobs > 1
        if KILLED not in status or cell in self.killed or not several:
            return False
        self.killed.add(cell)
        cell.lack = "killed"
        self._log(cell, f"{KILLED}; again, and one at a time from now on")
        return True

    def _progress(self) -> str:
        """How far a run of several is, in words."""
        cells = self.report.cells
        ended = [cell.status for cell in cells if cell.status]
        failed = sum(status not in (DONE, KEPT) for status in ended)
        if len(cells) == 1:
            return ""
        text = f"; {len(ended)} ended, {failed} failed"
        if names := [cell.name for cell in self.running.values()]:
            text += f", {', '.join(names)} running"
        if left := len(cells) - len(ended):
            each = self.report.whole / self.executed
            text += f", about {timedelta(seconds=round(each * left))} left"
        return text

    def _log(self, cell: Cell, text: str) -> None:
        total = len(self.report.cells)
        self.report.log(f"[{cell.number}/{total}] {cell.name}: {text}")


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


def run_in_place(only: Sequence[str] | None = None) -> Report:
    """Execute the selected notebooks (quick), then replace all or none.

    Raises ``Refused`` where one cannot be shared (see ``blemishes``).
    """
    chosen = f" --only {','.join(only)}" if only else ""
    report = run("quick", only, again=f"python -m helpers.run{chosen}")
    if report.exit_code:
        report.again = f"python -m helpers.run --in-place{chosen}"
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
