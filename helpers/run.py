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
import shlex
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from helpers import paths
from helpers.runner.batch import DONE, KEPT, Report, run, run_in_place
from helpers.runner.kernel import Interrupted
from helpers.runner.notebooks import (
    Refused,
    parse_settings,
    read_notebooks,
    write_handouts,
)
from helpers.session import PROFILES, any_text, say

SCORECARD = "11_scorecard"
"""The notebook, and its results, of which a run shows a table at its end."""
OPTIONS = {
    "--profile": "how much to compute (default: quick, or as the study says)",
    "--only": "notebooks, by number (default: all)",
    "--set": "a notebook parameter; VALUE is a Python literal or else a"
    " string, and a relative path starts at the project's root",
    "--grid": "run every combination of the values that --set lists, each in"
    " a folder of its own: --grid --set RHO=10,50 --set SEEDS=0,1",
    "--jobs": "notebooks at a time, each with a GPU of its own, if there are"
    " any (default: 1; make run takes 2). Each may need 2 GB of memory; where"
    " that lacks and one is killed, it runs again, alone",
    "--scheduler": "have them executed by a Dask cluster, in place of --jobs,"
    " that sees this project and the run folder under the same paths; its"
    " workers are started in the project's root: dask worker tcp://HOST:8786"
    " --nthreads 1. Whoever reaches it can have code executed, but for"
    " tls://HOST:8786, of which Dask's settings name the certificates",
    "--timeout": "give up a notebook of which one code cell takes longer",
    "--run-dir": "run folder (default: runs/<time>-<profile>, or"
    " runs/study-<name>)",
    "--resume": "go on with --run-dir, else with the newest run of the"
    " profile: re-run only what is missing, failed or stale",
    "--study": "run the study data/studies/NAME.yaml in place of single"
    " notebooks",
    "--publish": "with --study: write its tables into data/measured once it"
    " is done",
    "--in-place": "execute the committed notebooks (quick), then replace them"
    " and their figures, all or none; with --only alone",
    "--handout": "write the notebooks without outputs and solutions into DIR;"
    " with --only alone",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and run; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.run",
        description="Execute the workbook's notebooks into a run folder.",
    )
    forms = {
        "--profile": {"choices": PROFILES},
        "--only": {"metavar": "01,03"},
        "--set": {"action": "append", "metavar": "KEY=VALUE"},
        "--jobs": {"type": _count, "metavar": "N"},
        "--scheduler": {"metavar": "tcp://HOST:8786"},
        "--timeout": {"type": _count, "metavar": "SECONDS"},
        "--run-dir": {"type": Path, "metavar": "DIR"},
        "--study": {"metavar": "NAME"},
        "--handout": {"type": Path, "metavar": "DIR"},
    }
    for option, told in OPTIONS.items():
        form = forms.get(option, {"action": "store_true"})
        parser.add_argument(option, help=told, **form)
    any_text()
    given = vars(parser.parse_args(arguments)).items()
    given = {k: v for k, v in given if v is not None and v is not False}
    if empty := [k for k, v in given.items() if v == ""]:
        parser.error(f"--{empty[0]}: it is given without a value")
    for name in given.keys() & {"in_place", "handout"}:
        if given.keys() - {name, "only"}:
            option = name.replace("_", "-")
            parser.error(f"--{option}: it goes with --only alone")
    if "grid" in given and "study" in given:
        parser.error("--grid: the study's file says itself which grid it is")
    if "study" in given and "only" in given:
        parser.error("--only: a study says itself which notebooks it runs")
    if "publish" in given and "study" not in given:
        parser.error("--publish: name a study with --study")
    again = _command(given)
    if "only" in given:
        given["only"] = [name.strip() for name in given["only"].split(",")]
    try:
        if handout := given.pop("handout", None):
            written = write_handouts(handout, **given)
            say(f"{len(written)} notebooks without solutions in {handout}")
            return 0
        if given.pop("in_place", False):
            report = run_in_place(**given)
        else:
            there = read_notebooks(paths.NOTEBOOKS_DIR)
            pairs, grid = given.pop("set", []), given.pop("grid", False)
            settings, values = parse_settings(pairs, there, grid)
            report = run(settings=settings, grid=values, again=again, **given)
    except Refused as error:
        say(f"error: {error}", sys.stderr)
        return 2
    except Interrupted as stop:
        return 128 + stop.args[0]
    say(summary(report))
    return report.exit_code


def _command(given: dict[str, object]) -> str:
    """The command with the options that were given, but for the folder's."""
    words = ["python", "-m", "helpers.run"]
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        if option in ("--run-dir", "--resume"):
            continue
        for one in value if isinstance(value, list) else [value]:
            words += [option] if one is True else [option, str(one)]
    return shlex.join(words)


def _count(text: str) -> int:
    """A whole number from one on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1, not {text}")
    return int(text)


def summary(report: Report) -> str:
    """Text for the end of a run: statuses, folder, notebook 11's table."""
    lines = ["", "seconds  notebook"]
    for cell in report.cells:
        lines.append(f"{cell.seconds:7.1f}  {cell.name}: {cell.status}")
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
