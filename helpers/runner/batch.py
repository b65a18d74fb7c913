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

from helpers.paths import NOTEBOOKS_DIR, RUNS_DIR, atomic_write
from helpers.runner import notebooks, provenance
from helpers.runner.folder import RunFolder, new_folder, newest_folder
from helpers.runner.kernel import Interrupted, execute, stop_signals
from helpers.runner.notebooks import Notebook
from helpers.session import say

DONE, KEPT = "done", "kept"


@dataclass
class Report:
    """What became of each notebook, in order, and the run's exit status.

    ``again`` is the command that goes on, ``published`` what was written
    outside the run's folder: a study's reference results, or notebooks.
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
    settings, alone = settings or {}, again is not None
    there = notebooks.read_notebooks(notebooks_dir)
    selected = notebooks.select(there, only)
    notebooks.check_settings(settings, selected)
    if run_dir is None:
        profile = profile or "quick"
        run_dir = (newest_folder if resume else new_folder)(runs_dir, profile)
    if profile:
        settings = {"PROFILE": profile, **settings}
    folder = RunFolder(run_dir)
    again = again or "python -m helpers.run --resume" + option(folder.path)
    report = Report(folder.path, again=again)
    with folder.claimed(settings, resume, alone), stop_signals() as came:
        versions = json.dumps(provenance.versions(), indent=1)
        atomic_write(folder.path / "versions.json", versions + "\n")
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


def _step(
    folder: RunFolder, notebook: Notebook, head: str, came: list[Signals]
) -> str:
    """Run, keep or skip one notebook, and say which."""
    for need in notebook.needs:
        if lack := _lack(folder, need):
            return f"skipped: the results of {need.name} are {lack}"
    if not (lack := _lack(folder, notebook)):
        return KEPT
    log(folder, f"{head}running ({lack})")
    staged = folder.stage(notebook)
    output = staged / "notebooks" / notebook.path.name
    made_of = _made_of(folder, notebook)
    parameters = {**made_of["parameters"], "RUN_DIR": str(staged)}
    failure = execute(notebook.path, parameters, output)
    if came:
        raise Interrupted(came[0])
    if failure is None:
        folder.publish(notebook, staged, made_of)
        return DONE
    if output.is_file():  # as far as it got, for reading
        folder.place(output, f"failed/{output.name}")
    where = f"failed in code cell {failure[0]}"
    log(folder, f"{notebook.path.name} {where}:\n{failure[1]}")
    return where


def _lack(folder: RunFolder, notebook: Notebook) -> str | None:
    """Why the folder's results will not do; None where they will."""
    record = folder.record(notebook.name)
    if not record:
        return "missing"
    new = _made_of(folder, notebook)
    changed = [k for k in new if record["made_of"].get(k) != new[k]]
    return f"stale: {', '.join(changed)} changed" if changed else None


def _made_of(folder: RunFolder, notebook: Notebook) -> dict[str, object]:
    """All that a notebook's results depend on, as JSON can hold it."""
    needs = [folder.record(n.name).get("finished") for n in notebook.needs]
    return provenance.made_of(notebook, folder.settings, needs)
