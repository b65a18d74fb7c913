"""Run notebooks in order into a run folder; what the command line calls.

Each notebook gets a kernel of its own. One that fails is reported and the
others go on. The source notebooks are only read, but for `run_in_place`.
"""

import json
import os
import shlex
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import nbformat

from helpers import paths
from helpers.runner import folder as folders
from helpers.runner import notebooks
from helpers.runner.folder import RunFolder
from helpers.runner.kernel import Interrupted, execute, stop_signals
from helpers.runner.notebooks import Notebook, Refused
from helpers.session import say

DONE, KEPT = "done", "kept"


@dataclass
class Report:
    """What became of each notebook, in order.

    ``again`` is the command that goes on, ``published`` what was written
    outside the run's folder.
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
    notebooks_dir: Path = paths.NOTEBOOKS_DIR,
    runs_dir: Path = paths.RUNS_DIR,
    again: str | None = None,
) -> Report:
    """Execute the selected notebooks into a run folder.

    ``settings`` are parameters of notebooks that have them. ``resume`` goes
    on with ``run_dir``, else with the newest run of the profile, and takes
    over that run's profile and settings where none are given. ``again`` is
    the command that goes on after an interruption, of a caller whose settings
    stand alone. Raises ``Refused`` before anything starts.
    """
    settings, alone = settings or {}, again is not None
    there = notebooks.read_notebooks(notebooks_dir)
    selected = notebooks.select(there, only)
    selected.sort(key=lambda n: bool(n.after))  # what reads results, last
    notebooks.check_settings(settings, selected)
    if run_dir is None:
        profile = profile or "quick"
        place = folders.newest_folder if resume else folders.new_folder
        run_dir = place(runs_dir, profile)
    if profile:
        settings = {"PROFILE": profile, **settings}
    folder = RunFolder(run_dir)
    again = again or "python -m helpers.run --resume" + option(folder.path)
    report = Report(folder.path, again=again)
    with folder.claimed(settings, resume, alone), stop_signals() as came:
        versions = json.dumps(folders.versions(), indent=1)
        paths.atomic_write(folder.path / "versions.json", versions + "\n")
        given = [f"{k}={v!r}" for k, v in folder.settings.items()]
        log(folder, f"run folder {folder.path}\nparameters {', '.join(given)}")
        try:
            for count, notebook in enumerate(selected, 1):
                head = f"[{count}/{len(selected)}] {notebook.name}: "
                begun = time.perf_counter()
                status = _step(folder, notebook, head, came)
                seconds = time.perf_counter() - begun
                report.status[notebook.name] = status
                report.seconds[notebook.name] = seconds
                log(folder, f"{head}{status}, {seconds:.1f} s")
        except Interrupted as stop:
            log(folder, f"Interrupted by {stop.args[0].name}; go on: {again}")
            raise
    return report


def option(run_dir: Path) -> str:
    """A run folder as a command's option, its path from here."""
    # Between two drives of Windows there is no relative path.
    with suppress(ValueError):
        run_dir = Path(os.path.relpath(run_dir))
    return f" --run-dir {shlex.quote(run_dir.as_posix())}"


def log(folder: RunFolder, text: str) -> None:
    """Print, and write with the time to the run's log."""
    say(text)
    path = folder.path / "log.txt"
    with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")


def _step(folder: RunFolder, notebook: Notebook, head: str, came: list) -> str:
    """Run or keep one notebook, and say which; signals may have come."""
    if not (lack := folder.lack(notebook)):
        return KEPT
    log(folder, f"{head}running ({lack})")
    staged = folder.stage(notebook.name)
    output = staged / "notebooks" / notebook.path.name
    facts = folder.made_of(notebook)
    parameters = {**facts["parameters"], "RUN_DIR": str(staged)}
    failure = execute(notebook.path, parameters, output)
    if came:
        raise Interrupted(came[0])
    if failure is None:
        folder.publish(notebook.name, staged, facts)
        return DONE
    folder.place(output, f"failed/{output.name}")  # as far as it got
    where = f"failed in code cell {failure[0]}"
    log(folder, f"{notebook.path.name} {where}:\n{failure[1]}")
    return where


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
