"""The notebooks: their parameters, what is refused, what can be shared.

A misspelt name costs a second and not a run; papermill only warns of one.
"""

import ast
import difflib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import nbformat
import papermill

from helpers import paths

RUNNER_PARAMETERS = {"PROFILE", "RUN_DIR"}
PLACES = {*RUNNER_PARAMETERS, "DATA_DIR"}
"""Parameters that are texts without an annotation that says so."""
TEXTS = {"str", "object"}
"""Annotations of a text, and of a text or a list of them."""

ANY_FOLDER = "*"
"""In a notebook's ``datasets``: any folder that is none of KNOWN_SETS."""

REAL_SETS = {"acne5", "chula-rbc-12", "cifar10", "cifar100"}
EMBEDDED_SETS = {"digits", "synthetic_acne", "synthetic_acne_small"}
EMBEDDED_SETS |= {"synthetic_severity", "synthetic_smears"}
KNOWN_SETS = REAL_SETS | EMBEDDED_SETS
"""Data sets whose images are known; a notebook names those it takes."""

# A path of somebody's machine; the papers' formulas hold backslashes too.
ABSOLUTE_PATH = re.compile(
    r"(?<![\w.:/-])/(?:home|Users|root|tmp|private|mnt)\b"
    rf"|\b[A-Z]:\\+(?:Users|Windows|Program)|{re.escape(str(paths.ROOT))}"
)
WIDGET = "application/vnd.jupyter.widget-view+json"
KERNEL = {
    "display_name": "Python 3 (ipykernel)",
    "language": "python",
    "name": "python3",
}
"""As JupyterLab writes it; another text would mark an opened notebook."""
SOLUTION = re.compile(r"\s*<details>\s*<summary>Solution.*?</details>", re.S)


class Refused(ValueError):
    """What was asked for cannot be run; the message says what to change."""


@dataclass(frozen=True)
class Notebook:
    """One source notebook; ``cells`` are its cells' sources as JSON.

    ``name`` is the file's without suffix and starts with ``number``;
    ``kinds`` are the annotations of its ``parameters``. Its metadata may name
    the ``datasets`` that it takes, "*" for a reader's own folder:
    ``{"workbook": {"datasets": ["digits", "*"]}}``; and the numbers of the
    notebooks whose results it reads, and ``after`` which it runs.
    """

    path: Path
    name: str
    number: str
    parameters: dict[str, object]
    kinds: dict[str, str]
    datasets: tuple[str, ...]
    after: tuple[str, ...]
    cells: str


def read_notebooks(folder: Path) -> list[Notebook]:
    """The numbered notebooks (``03_name.ipynb``) of a folder, in order.

    Raises ``Refused`` where there is none, one cannot be used or a number
    comes twice.
    """
    there: dict[str, Notebook] = {}
    for path in sorted(folder.glob("[0-9A-Z][0-9]_*.ipynb")):
        number = path.stem.split("_")[0]
        if number in there:
            raise Refused(f"two notebooks bear the number {number}")
        try:
            nb = nbformat.read(path, as_version=4)
            asked = papermill.inspect_notebook(path)
            parameters = {
                key: ast.literal_eval(it["default"])
                for key, it in asked.items()
            }
        except Exception as error:
            raise Refused(f"{path.name} cannot be used: {error}") from error
        if missing := RUNNER_PARAMETERS - parameters.keys():
            raise Refused(f"{path.name}: its parameters cell lacks {missing}")
        kinds = {k: it["inferred_type_name"] for k, it in asked.items()}
        more = nb.metadata.get("workbook", {})
        there[number] = Notebook(
            path=path,
            name=path.stem,
            number=number,
            parameters=parameters,
            kinds=kinds | dict.fromkeys(PLACES & kinds.keys(), "str"),
            datasets=tuple(more.get("datasets", [])),
            after=tuple(more.get("after", [])),
            cells=json.dumps([[c.cell_type, c.source] for c in nb.cells]),
        )
    if not there:
        raise Refused(f"no notebooks (03_name.ipynb) in {folder}")
    return list(there.values())


def select(
    notebooks: Sequence[Notebook], only: Sequence[str] | None
) -> list[Notebook]:
    """The notebooks named by number or name, in order; None selects all.

    Raises ``Refused`` for a name that no notebook bears.
    """
    if only is None:
        return list(notebooks)
    known = {key for n in notebooks for key in (n.number, n.name)}
    if unknown := [name for name in only if name not in known]:
        there = ", ".join(n.name for n in notebooks)
        raise Refused(f"no notebook {unknown}; there are {there}")
    return [n for n in notebooks if n.number in only or n.name in only]


def parse_settings(
    pairs: Iterable[str], notebooks: Sequence[Notebook], grid: bool = False
) -> tuple[dict[str, object], dict[str, list]]:
    """Read ``KEY=VALUE`` pairs, in a ``grid`` ``KEY=VALUE,VALUE``, too.

    A value is a Python literal, else a string. Where the notebooks' parameter
    is a text, it is a string whatever it looks like, but for None, and for a
    list where one may stand there. ``~`` at the beginning of a string stands
    for the home folder.

    Returns the parameters with one value, and those with a list of values.

    Raises ``Refused`` for a pair without ``=``, a broken literal (``[0, 1``,
    ``true``), a kind that JSON would change (a tuple, numbers as keys), and a
    grid of single values.
    """
    found: dict[str, list] = {}
    for pair in pairs:
        key, sign, text = (part.strip() for part in pair.partition("="))
        if not sign or not key.isidentifier():
            raise Refused(f"--set {pair}: write it as KEY=VALUE")
        kind = next((n.kinds[key] for n in notebooks if key in n.kinds), "")
        texts = _parts(text, kind) if grid else [text]
        try:
            found[key] = [_value(part.strip(), kind) for part in texts]
        except TypeError as error:
            kinds = "a Python literal without tuples and sets, or a word"
            raise Refused(
                f"--set {pair}: the value is to be {kinds}; a list has square"
                " brackets: [0,1]"
            ) from error
    settings = {k: v[0] for k, v in found.items() if len(v) == 1}
    if grid and len(settings) == len(found):
        raise Refused("--grid: give a parameter values: --set SEEDS=0,1")
    return settings, {k: v for k, v in found.items() if len(v) > 1}


def _parts(text: str, kind: str) -> list[str]:
    """The values of a grid's parameter, which commas divide."""
    with suppress(ValueError, SyntaxError, TypeError):
        values = ast.literal_eval(text)
        if isinstance(values, tuple) and kind not in TEXTS:
            return list(map(repr, values))
    return [text] if text.startswith(("[", "{", "(")) else text.split(",")


def _value(text: str, kind: str) -> object:
    """One value; ``TypeError`` where it is none."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value, broken = text, ("[", "(", "{", "'", '"', "true", "false")
        if kind not in TEXTS and text.startswith((*broken, "null", "none")):
            raise TypeError from None
    is_text = str | list | None if kind == "object" else str | None
    if kind in TEXTS and not isinstance(value, is_text):
        value = text
    if json.loads(json.dumps(value)) != value:
        raise TypeError
    return os.path.expanduser(value) if isinstance(value, str) else value


def check_settings(
    settings: Mapping[str, object],
    notebooks: Sequence[Notebook],
    where: str = "--set",
) -> None:
    """Refuse what the notebooks cannot take; ``where`` it stands, in words.

    That is a parameter that none of them has, a number where the parameter
    is a text, and a data set that is not one of a notebook's.
    """
    names = {name for n in notebooks for name in n.parameters}
    known = sorted(names - RUNNER_PARAMETERS)
    for key, value in settings.items():
        if key in RUNNER_PARAMETERS:
            option = key.lower().replace("_", "-")
            raise Refused(f"{where} {key}: the runner has --{option} for it")
        if key not in known:
            close = difflib.get_close_matches(key.upper(), known)
            meant = f"did you mean {' or '.join(close)}? " if close else ""
            raise Refused(
                f"{where} {key}: no selected notebook has this parameter;"
                f" {meant}there are {', '.join(known)}"
            )
        kinds = {n.kinds[key] for n in notebooks if key in n.kinds}
        listed = "object" in kinds and isinstance(value, list)
        one = value if listed else [value]
        if kinds & TEXTS and not all(isinstance(v, str | None) for v in one):
            wrong = f"expected a text, got {value!r}; write it in quotes"
            raise Refused(f"{where} {key}: {wrong}")
    name = settings.get("DATASET")
    kind = name if name in KNOWN_SETS else ANY_FOLDER
    unable = [n for n in notebooks if n.datasets and kind not in n.datasets]
    if name is not None and unable:
        theirs = [f"{n.number}: {', '.join(n.datasets)}" for n in unable]
        text = "; ".join(theirs).replace(ANY_FOLDER, "an image folder")
        able = ",".join(n.number for n in notebooks if n not in unable)
        raise Refused(
            f"{where} DATASET={name}: not all selected notebooks can take it"
            f" ({text})" + f"; leave these out by --only {able}" * bool(able)
        )


def clean(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A notebook as if run by hand from the top and saved in JupyterLab.

    The parameters papermill put in, its timings and widgets, which are dead
    without their kernel, go; code cells are counted anew; other outputs stay,
    and so does what the kernel said of its language, since JupyterLab marks a
    notebook as modified where it finds that different.
    """
    stay = ("workbook", "language_info")
    kept = {k: v for k, v in nb.metadata.items() if k in stay}
    nb.metadata = nbformat.from_dict({**kept, "kernelspec": KERNEL})
    injected = "injected-parameters"
    nb.cells = [
        c for c in nb.cells if injected not in c.metadata.get("tags", [])
    ]
    for cell in nb.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if not cell.metadata.get("tags"):
            cell.metadata.pop("tags", None)
    ran = [c for c in nb.cells if c.cell_type == "code" and c.source.strip()]
    for count, cell in enumerate(ran, 1):
        cell.execution_count = count
        cell.outputs = [
            o for o in cell.outputs if WIDGET not in o.get("data", {})
        ]
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
    return nb


def without_solutions(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A notebook to hand out: no outputs, no solutions, no wrong answers.

    An exercise that raises does not end a run: the others are marked, too.
    """
    nb = clean(nb)
    for cell in nb.cells:
        cell.metadata.pop("wrong", None)
        if cell.cell_type == "code":
            cell.execution_count, cell.outputs = None, []
            tags = cell.metadata.get("tags", [])
            if "exercise" in tags:
                cell.metadata.tags = [*tags, "raises-exception"]
        else:
            cell.source = SOLUTION.sub("", cell.source).strip()
    nb.cells = [c for c in nb.cells if c.source or c.cell_type == "code"]
    return nb


def write_handouts(
    folder: Path, only: Sequence[str] | None = None
) -> list[Path]:
    """Write the selected notebooks `without_solutions` into a folder.

    Returns their paths. Raises ``Refused``, before it writes anything, for
    the folder of the notebooks and where a notebook holds somebody's work.
    """
    if folder.resolve() == paths.NOTEBOOKS_DIR.resolve():
        raise Refused(f"{folder} holds the notebooks; name another folder")
    texts = {}
    for notebook in select(read_notebooks(paths.NOTEBOOKS_DIR), only):
        path = folder / notebook.path.name
        if path.exists() and any(
            c.get("outputs") for c in nbformat.read(path, as_version=4).cells
        ):
            raise Refused(f"{path} has been run; move it, or name another DIR")
        nb = without_solutions(nbformat.read(notebook.path, as_version=4))
        texts[path] = nbformat.writes(nb).rstrip("\n") + "\n"
    return [paths.atomic_write(path, text) for path, text in texts.items()]


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
