"""The command line of the headless runner: ``python -m helpers.run --help``.

Exit status: 0 all done, 1 a notebook failed, 2 refused before anything
started or was replaced, 128 + n ended by signal n.
"""

import os
import signal
import sys


def _leave(number: int, frame: object) -> None:
    """End at once, while there is no notebook to stop."""
    name = signal.Signals(number).name
    os.write(2, f"Interrupted by {name}; no notebook was running\n".encode())
    os._exit(128 + number)


if __name__ == "__main__":  # before the imports, which take seconds
    for _name in {"SIGINT", "SIGTERM", "SIGHUP"} & {*dir(signal)}:
        _number = getattr(signal, _name)
        if signal.getsignal(_number) != signal.SIG_IGN:  # as under nohup
            signal.signal(_number, _leave)

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from helpers.paths import NOTEBOOKS_DIR, RUNS_DIR
from helpers.runner.batch import DONE, KEPT, Report, run, run_in_place
from helpers.runner.kernel import Interrupted
from helpers.runner.notebooks import (
    Refused,
    parse_grid,
    parse_settings,
    write_handouts,
)
from helpers.runner.study import run_grid, run_study
from helpers.session import PROFILES, any_text, say

SCORECARD = "11_scorecard"
"""The notebook, and its results, of which a run shows a table at its end."""


def main(
    arguments: Sequence[str] | None = None,
    notebooks_dir: Path = NOTEBOOKS_DIR,
    runs_dir: Path = RUNS_DIR,
) -> int:
    """Read the command line and run; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.run",
        description="Execute the workbook's notebooks into a run folder.",
    )
    add, flag = parser.add_argument, {"action": "store_true"}
    told = "how much to compute (default: quick, or as the study says)"
    add("--profile", choices=PROFILES, help=told)
    told = "notebooks, by number (default: all)"
    add("--only", metavar="01,03", help=told)
    told = "a notebook parameter; VALUE is a Python literal or else a string,"
    told += " and a relative path starts at the project's root"
    add("--set", action="append", metavar="KEY=VALUE", help=told)
    told = "run every combination of the values that --set lists, each in a"
    told += " folder of its own: --grid --set RHO=10,50 --set SEEDS=0,1"
    add("--grid", **flag, help=told)
    told = "notebooks at a time, each in a process of its own"
    told += " and a GPU of its own, if there is one (default: 1)"
    add("--jobs", type=_count, metavar="N", help=told)
    told = "have them executed by a Dask cluster that sees this project and"
    told += " the run folder under the same paths; its workers are started in"
    told += " the project's root: dask worker tcp://HOST:8786 --nthreads 1"
    add("--scheduler", metavar="tcp://HOST:8786", help=told)
    told = "give up a notebook of which one code cell takes longer"
    add("--timeout", type=_count, metavar="SECONDS", help=told)
    told = "run folder (default: runs/<time>-<profile>, or runs/study-<name>)"
    add("--run-dir", type=Path, metavar="DIR", help=told)
    told = "go on with --run-dir, else with the newest run of the profile:"
    told += " re-run only what is missing, failed or stale"
    add("--resume", **flag, help=told)
    told = "run the study data/studies/NAME.yaml in place of single notebooks"
    add("--study", metavar="NAME", help=told)
    told = "with --study: write its tables into data/measured once it is done"
    add("--publish", **flag, help=told)
    told = "execute the committed notebooks (quick), then replace them and"
    told += " their figures, all or none; with --only alone"
    add("--in-place", **flag, help=told)
    told = "write the notebooks without outputs and solutions into DIR;"
    told += " with --only alone"
    add("--handout", type=Path, metavar="DIR", help=told)
    any_text()
    given = vars(parser.parse_args(arguments)).items()
    given = {k: v for k, v in given if v is not None and v is not False}
    if empty := [k for k, v in given.items() if v == ""]:
        parser.error(f"--{empty[0]}: it is given without a value")
    for name in given.keys() & {"in_place", "handout"}:
        if given.keys() - {name, "only"}:
            option = name.replace("_", "-")
            parser.error(f"--{option}: it goes with --only alone")
    study, in_place = given.pop("study", None), given.pop("in_place", False)
    grid = given.pop("grid", False)
    if grid and study:
        parser.error("--grid: the study's file says itself which grid it is")
    if "jobs" in given and "scheduler" in given:
        parser.error("--jobs: a cluster has the workers that it has")
    if study and "only" in given:
        parser.error("--only: a study says itself which notebooks it runs")
    if "publish" in given and not study:
        parser.error("--publish: name a study with --study")
    given |= {"notebooks_dir": notebooks_dir, "runs_dir": runs_dir}
    if "only" in given:
        given["only"] = [name.strip() for name in given["only"].split(",")]
    try:
        if handout := given.pop("handout", None):
            only = given.get("only")
            written = write_handouts(handout, only, notebooks_dir)
            say(f"{len(written)} notebooks without solutions in {handout}")
            return 0
        pairs = given.pop("set", [])
        if grid:
            given["settings"], values = parse_grid(pairs)
        elif pairs:
            given["settings"] = parse_settings(pairs)
        if grid:
            report = run_grid(values, **given)
        elif study:
            report = run_study(study, **given)
        else:
            report = (run_in_place if in_place else run)(**given)
    except Refused as error:
        say(f"error: {error}", sys.stderr)
        return 2
    except Interrupted as stop:
        return 128 + stop.args[0]
    say(summary(report))
    return report.exit_code


def _count(text: str) -> int:
    """A whole number from one on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1, not {text}")
    return int(text)


def summary(report: Report) -> str:
    """Text for the end of a run: statuses, folder, notebook 11's table."""
    lines = ["", "seconds  notebook"]
    for name, status in report.status.items():
        lines.append(f"{report.seconds[name]:7.1f}  {name}: {status}")
    lines.append(f"{report.whole:7.1f}  in all")
    lines.append(f"\nnotebooks, figures and results in {report.folder}")
    table = report.folder / "results" / f"{SCORECARD}_counts.csv"
    if report.status.get(SCORECARD) in (DONE, KEPT) and table.is_file():
        lines.append("\npublished numbers by status, claims by verdict")
        lines.append(pd.read_csv(table).to_string(index=False))
        lines.append(
            f"more in notebooks/{SCORECARD}.ipynb, results/{SCORECARD}*"
        )
    for path in report.published:
        lines.append(f"published {path.name} in {path.parent}")
    if report.exit_code:
        lines.append(f"\nafter the repair: {report.again}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
