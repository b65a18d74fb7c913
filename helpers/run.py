"""The command line of the headless runner: ``python -m helpers.run --help``.

Exit status: 0 all done, 1 a notebook failed, 2 refused before anything
started, 128 + n ended by signal n.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from helpers import results
from helpers.paths import NOTEBOOKS_DIR, RUNS_DIR
from helpers.runner.batch import Report, resume_command, run
from helpers.runner.book import Refused, parse_settings
from helpers.runner.kernel import Interrupted
from helpers.session import PROFILES

COMPARISON = "03_comparison.csv"


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
    parser.add_argument(
        "--profile",
        choices=PROFILES,
        help="how much to compute (default: quick)",
    )
    add_only(parser)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a notebook parameter; VALUE is a Python literal or else a"
        " string, and a relative path starts at the project's root",
    )
    parser.add_argument(
        "--run-dir",
        type=Path,
        metavar="DIR",
        help="run folder (default: runs/<time>-<profile>)",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with --run-dir, else with the newest run of the profile:"
        " re-run only what is missing, failed or stale",
    )
    given = vars(parser.parse_args(arguments))
    pairs = given.pop("set")
    where = {"notebooks_dir": notebooks_dir, "runs_dir": runs_dir}
    return concluded(
        lambda: run(settings=parse_settings(pairs), **given, **where)
    )


def add_only(parser: argparse.ArgumentParser) -> None:
    """Let a command line name the notebooks."""
    parser.add_argument(
        "--only",
        type=lambda text: [name.strip() for name in text.split(",")],
        metavar="01,03",
        help="notebooks, by number (default: all)",
    )


def concluded(action: Callable[[], Report]) -> int:
    """Run, print what came out, and return the exit status."""
    try:
        report = action()
    except Refused as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Interrupted as stop:
        return 128 + stop.args[0]
    print(summary(report))
    return report.exit_code


def summary(report: Report) -> str:
    """Text for the end of a run: statuses, folder, paper vs measured."""
    lines = ["", "seconds  notebook"]
    for name, status in report.status.items():
        lines.append(f"{report.seconds[name]:7.1f}  {name}: {status}")
    lines.append(f"{sum(report.seconds.values()):7.1f}  in all")
    lines.append(f"\nnotebooks, figures and results in {report.folder}")
    comparison = report.folder / "results" / COMPARISON
    if comparison.is_file():
        table = pd.read_csv(comparison, keep_default_na=False)
        # A terminal is small: scores over all classes, and each class's F1.
        table = table[(table["class"] == "") | (table["metric"] == "f1")]
        text = results.readable(table).replace({"class": {"": "all"}})
        lines.append(f"\nPaper vs measured, from {COMPARISON}:\n")
        lines.append(text.to_string(index=False))
    if report.exit_code:
        lines.append(f"\nafter the repair: {resume_command(report.folder)}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
