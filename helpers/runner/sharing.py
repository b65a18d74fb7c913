"""Put executed notebooks and figures in the place of the committed ones."""

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat

from helpers import paths
from helpers.runner.batch import Report, run
from helpers.runner.kernel import INJECTED
from helpers.runner.notebooks import Refused

# A path of somebody's machine; the papers' formulas hold backslashes too.
ABSOLUTE_PATH = re.compile(
    r"(?<![\w.:/-])/(?:home|Users|root|tmp|private|mnt)\b"
    rf"|\b[A-Z]:\\+(?:Users|Windows|Program)|{re.escape(str(paths.ROOT))}"
)
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def run_in_place(
    only: Sequence[str] | None = None,
    notebooks_dir: Path = paths.NOTEBOOKS_DIR,
    runs_dir: Path = paths.RUNS_DIR,
    figures_dir: Path = paths.FIGURES_DIR,
) -> Report:
    """Execute the selected notebooks (quick) and replace the sources.

    Nothing is replaced unless all of them succeeded. Raises ``Refused``
    where an executed notebook cannot be shared (see ``blemishes``).
    """
    report = run("quick", only, runs_dir=runs_dir, notebooks_dir=notebooks_dir)
    if report.exit_code:
        report.again = "python -m helpers.run --in-place"
        return report
    cleaned = {}
    for name in report.status:
        executed = report.folder / "notebooks" / f"{name}.ipynb"
        nb = clean(nbformat.read(executed, as_version=4))
        if found := list(blemishes(nb)):
            raise Refused(
                f"{name}.ipynb: {'; '.join(found)}; nothing was replaced"
            )
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


def clean(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A notebook as if run by hand from the top, the same on any machine.

    The parameters papermill put in, its timings and the interpreter's
    version go; code cells are counted anew; outputs stay.
    """
    own = {k: v for k, v in nb.metadata.items() if k == "workbook"}
    own |= {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    nb.metadata = nbformat.from_dict(own)
    nb.cells = [
        cell
        for cell in nb.cells
        if INJECTED not in cell.metadata.get("tags", [])
    ]
    count = 0
    for cell in nb.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if not cell.metadata.get("tags"):
            cell.metadata.pop("tags", None)
        if cell.cell_type == "code" and cell.source.strip():
            cell.execution_count = count = count + 1
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
            texts.append(output.get("text", ""))
            data = output.get("data", {})
            texts += [str(v) for k, v in data.items() if "image/" not in k]
        for text in texts:
            if path := ABSOLUTE_PATH.search(text):
                yield f"cell {number} holds an absolute path: {path[0]}…"
            if re.search(r" at 0x[0-9a-f]{6}", text):
                yield f"cell {number} shows an object's address in memory"
