"""The command line of the headless runner: ``python -m helpers.run --help``.

Exit status: 0 all done, 1 a notebook failed, 2 refused before anything
started, 128 + n ended by signal n.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from helpers import results
from helpers.batch import Report, run
from helpers.manifest import Refused, parse_settings
from helpers.paths import NOTEBOOKS_DIR, RUNS_DIR
from helpers.session import PROFILES
from helpers.signals import Interrupted

COMPARISON = "03_comparison.csv"


def main(
    arguments: Sequence[str] | None = None,
    notebooks_dir: Path = NOTEBOOKS_DIR,
    runs_dir: Path = RUNS_DIR,
) -> int:
    """Read the command line, run, print what came out."""
    given = _parser().parse_args(arguments)
    try:
        report = run(
            profile=given.profile,
            only=given.only,
            settings=parse_settings(given.set),
            run_dir=given.run_dir,
            resume=given.resume,
            notebooks_dir=notebooks_dir,
            runs_dir=runs_dir,
        )
    except Refused as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Interrupted as stop:
        print(f"Interrupted; go on with: {_resume(stop.folder)}")
        return 128 + stop.number
    print(summary(report))
    return report.exit_code


def summary(report: Report) -> str:
    """Text for the end of a run: statuses, folder, paper vs measured."""
    table = pd.DataFrame(
        {
            "notebook": list(report.status),
            "status": list(report.status.values()),
            "seconds": [f"{s:.1f}" for s in report.seconds.values()],
        }
    )
    parts = [
        table.to_string(index=False),
        f"total {report.total:.1f} s",
        f"notebooks, figures and results in {_near(report.folder)}",
    ]
    comparison = report.folder / "results" / COMPARISON
    if comparison.is_file():
        text = results.readable(pd.read_csv(comparison, keep_default_na=False))
        parts.append(
            f"Paper vs measured ({COMPARISON})\n{text.to_string(index=False)}"
        )
    if report.exit_code:
        parts.append(f"After the repair: {_resume(report.folder)}")
    return "\n" + "\n\n".join(parts)


def _resume(folder: Path) -> str:
    place = shlex.quote(str(_near(folder)))
    return f"python -m helpers.run --resume --run-dir {place}"


def _near(path: Path) -> Path:
    """A path as short as it is from here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m helpers.run",
        description="Execute the workbook's notebooks into a run folder.",
    )
    parser.add_argument(
        "--profile",
        choices=PROFILES,
        help="how much to compute (default: quick)",
    )
    parser.add_argument(
        "--only",
        type=lambda text: [name.strip() for name in text.split(",")],
        metavar="01,03",
        help="notebooks to run, by number (default: all)",
    )
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
    return parser


if __name__ == "__main__":
    sys.exit(main())
