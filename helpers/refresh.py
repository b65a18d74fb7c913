"""Re-execute the committed notebooks: ``python -m helpers.refresh --help``.

They run with the quick profile into an ordinary run folder. Only when all of
them succeeded, and their outputs can be published, do the executed ones take
the place of the sources, and their figures that of the old ones.
"""

import argparse
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat

from helpers.batch import Report, run
from helpers.execution import INJECTED
from helpers.manifest import Refused
from helpers.paths import (
    FIGURES_DIR,
    NOTEBOOKS_DIR,
    ROOT,
    RUNS_DIR,
    atomic_write,
)
from helpers.run import summary
from helpers.signals import Interrupted

# A path of somebody's machine; the papers' formulas hold backslashes too.
ABSOLUTE_PATH = re.compile(
    rf"(?<![\w.:/-])/(?:home|Users|root|tmp|private|mnt)\b|{re.escape(str(ROOT))}"
    r"|\b[A-Z]:\\+(?:Users|Windows|Program)"
)
METADATA = {
    "kernelspec": {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}


def refresh(
    only: Sequence[str] | None = None,
    notebooks_dir: Path = NOTEBOOKS_DIR,
    figures_dir: Path = FIGURES_DIR,
    runs_dir: Path = RUNS_DIR,
) -> Report:
    """Execute the selected notebooks and put the results in their place.

    Raises ``Refused`` where an executed notebook cannot be shared as it is
    (see ``blemishes``); then, as after a failure, nothing is replaced.
    """
    report = run("quick", only, runs_dir=runs_dir, notebooks_dir=notebooks_dir)
    if report.exit_code:
        return report
    cleaned = {}
    for name in report.status:
        executed = report.folder / "notebooks" / f"{name}.ipynb"
        nb = clean(nbformat.read(executed, as_version=4))
        if found := list(blemishes(nb)):
            raise Refused(f"{name}.ipynb: {'; '.join(found)}")
        cleaned[name] = nbformat.writes(nb).rstrip("\n") + "\n"
    for name, text in cleaned.items():
        atomic_write(notebooks_dir / f"{name}.ipynb", text)
        _replace_figures(name, report.folder / "figures", figures_dir)
    return report


def clean(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A notebook as if run by hand from the top, the same on any machine.

    The parameters papermill put in, its timings and the interpreter's
    version go; code cells are counted anew; outputs stay.
    """
    workbook = nb.metadata.get("workbook")
    nb.metadata = nbformat.from_dict(METADATA)
    if workbook:
        nb.metadata["workbook"] = workbook
    nb.cells = [c for c in nb.cells if INJECTED not in _tags(c)]
    count = 0
    for cell in nb.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if not _tags(cell):
            cell.metadata.pop("tags", None)
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        count += 1
        cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
    return nb


def blemishes(nb: nbformat.NotebookNode) -> Iterator[str]:
    """What must not be in a shared notebook, in words, cell by cell.

    Errors, output on stderr, paths of the machine it ran on, and addresses
    of objects in memory, which differ each time.
    """
    for number, cell in enumerate(nb.cells):
        texts = [cell.source]
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                yield f"cell {number} ends in an error"
            elif output.get("name") == "stderr":
                yield f"cell {number} writes to stderr: {output.text.strip()}"
            data = output.get("data", {})
            texts += [output.get("text", "")]
            texts += [str(v) for k, v in data.items() if "image/" not in k]
        for text in texts:
            if path := ABSOLUTE_PATH.search(text):
                yield f"cell {number} holds an absolute path: {path[0]}…"
            if re.search(r" at 0x[0-9a-f]{6}", text):
                yield f"cell {number} shows an object's address in memory"


def _tags(cell: nbformat.NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def _replace_figures(name: str, drawn: Path, kept: Path) -> None:
    """Copy a notebook's figures and remove those it no longer draws."""
    pattern = f"{name.split('_')[0]}_*.png"
    new = {path.name: path for path in drawn.glob(pattern)}
    for path in kept.glob(pattern):
        if path.name not in new:
            path.unlink()
    kept.mkdir(exist_ok=True)
    for path in new.values():
        shutil.copyfile(path, kept / path.name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line; exit status as that of ``helpers.run``."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.refresh",
        description="Re-execute the committed notebooks in place (quick).",
    )
    parser.add_argument(
        "--only",
        type=lambda text: [name.strip() for name in text.split(",")],
        metavar="01,03",
        help="notebooks to refresh, by number (default: all)",
    )
    given = parser.parse_args(arguments)
    try:
        report = refresh(given.only)
    except Refused as error:
        print(f"error: {error}; nothing was replaced", file=sys.stderr)
        return 2
    except Interrupted as stop:
        print("Interrupted; nothing was replaced")
        return 128 + stop.number
    print(summary(report))
    print("nothing was replaced" if report.exit_code else "replaced")
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
