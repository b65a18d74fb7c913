"""The notebooks of a folder: numbers, parameters, needs, and what is refused.

Everything here happens before a kernel starts, so that a misspelt name
costs a second and not a run; papermill itself only warns about one.
"""

import ast
import difflib
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat

RUNNER_PARAMETERS = ("PROFILE", "RUN_DIR")


class Refused(ValueError):
    """What was asked for cannot be run; the message says what to change."""


@dataclass(frozen=True)
class Notebook:
    """One notebook file as it lies in the source folder.

    ``number`` is the part of its name before the first underscore, ``needs``
    the numbers of the notebooks whose results it reads (its metadata
    ``{"workbook": {"needs": ["03"]}}``), ``digest`` a SHA-256 of its cells
    without outputs.
    """

    path: Path
    parameters: dict[str, object]
    needs: tuple[str, ...]
    digest: str

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return self.path.stem

    @property
    def number(self) -> str:
        """The number the file's name starts with."""
        return self.name.split("_")[0]


def read_notebooks(folder: Path) -> list[Notebook]:
    """All notebooks of a folder, in the order of their names.

    Raises ``Refused`` where there is none, where one cannot be read or lacks
    the parameters the runner sets, and where two bear the same number.
    """
    paths = sorted(
        p for p in folder.glob("*.ipynb") if not p.name.startswith(".")
    )
    if not paths:
        raise Refused(f"no notebooks (*.ipynb) in {folder}")
    notebooks = [_read(path) for path in paths]
    earlier: list[str] = []
    for notebook in notebooks:
        if notebook.number in earlier:
            raise Refused(f"two notebooks bear the number {notebook.number}")
        if unmet := [n for n in notebook.needs if n not in earlier]:
            raise Refused(
                f"{notebook.path.name} needs {', '.join(unmet)}, which no"
                " notebook before it bears"
            )
        earlier.append(notebook.number)
    return notebooks


def _read(path: Path) -> Notebook:
    try:
        nb = nbformat.read(path, as_version=4)
        parameters = parameters_of(nb)
    except Exception as error:
        raise Refused(f"{path.name} cannot be used: {error}") from error
    if missing := [n for n in RUNNER_PARAMETERS if n not in parameters]:
        raise Refused(
            f"{path.name}: add {', '.join(missing)} to its parameters cell"
        )
    needs = tuple(nb.metadata.get("workbook", {}).get("needs", ()))
    cells = [[c.cell_type, c.source] for c in nb.cells]
    digest = hashlib.sha256(json.dumps([cells, needs]).encode()).hexdigest()
    return Notebook(path, parameters, needs, digest)


def parameters_cell(nb: nbformat.NotebookNode) -> int:
    """Index of the one cell tagged ``parameters``; ``ValueError`` if not."""
    tagged = [
        i
        for i, cell in enumerate(nb.cells)
        if "parameters" in cell.metadata.get("tags", [])
    ]
    if len(tagged) != 1:
        raise ValueError(
            f"it has {len(tagged)} cells tagged 'parameters'; tag exactly one"
        )
    return tagged[0]


def parameters_of(nb: nbformat.NotebookNode) -> dict[str, object]:
    """Names and defaults of the parameters cell, which holds literals only.

    Raises ``ValueError`` for another number of such cells than one and for
    a line that is not ``NAME = literal``.
    """
    found: dict[str, object] = {}
    for line in ast.parse(nb.cells[parameters_cell(nb)].source).body:
        targets = line.targets if isinstance(line, ast.Assign) else []
        if len(targets) != 1 or not isinstance(targets[0], ast.Name):
            raise ValueError(
                "its parameters cell holds more than NAME = literal:"
                f" {ast.unparse(line)}"
            )
        try:
            found[targets[0].id] = ast.literal_eval(line.value)
        except ValueError:
            raise ValueError(
                f"its parameter {targets[0].id} is no literal"
            ) from None
    return found


def select(
    notebooks: Sequence[Notebook], only: Sequence[str] | None
) -> list[Notebook]:
    """The notebooks named by number or name, in the book's order.

    None selects all. Raises ``Refused`` for a name that no notebook bears.
    """
    if only is None:
        return list(notebooks)
    known = {key for n in notebooks for key in (n.number, n.name)}
    if unknown := [name for name in only if name not in known]:
        raise Refused(
            f"no notebook {', '.join(map(repr, unknown))}; there are"
            f" {', '.join(n.name for n in notebooks)}"
        )
    return [n for n in notebooks if n.number in only or n.name in only]


def parse_settings(pairs: Iterable[str]) -> dict[str, object]:
    """Read ``KEY=VALUE`` pairs; a value is a Python literal, else a string.

    Raises ``Refused`` for a pair without ``=``, for a value that looks like
    a literal without being one (``[0, 1``, ``true``), and for kinds that
    papermill cannot pass on unchanged.
    """
    settings = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key.isidentifier():
            raise Refused(f"--set {pair}: write it as KEY=VALUE")
        settings[key] = _value(pair, text.strip())
    return settings


def _value(pair: str, text: str) -> object:
    if text in ("true", "false", "none", "null"):
        raise Refused(f"--set {pair}: write True, False or None")
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        if text.startswith(("[", "(", "{", "'", '"')):
            raise Refused(
                f"--set {pair}: the value is no Python literal"
            ) from None
        return text
    try:
        passed = json.loads(json.dumps(value))
    except TypeError:
        passed = None
    # JSON, and papermill with it, turns the keys 0 and True into strings.
    if passed != (list(value) if isinstance(value, tuple) else value):
        raise Refused(
            f"--set {pair}: use None, True, False, a number, a string, or a"
            " list or dictionary (with strings as keys) of these"
        )
    return passed


def check_settings(
    settings: Iterable[str], notebooks: Sequence[Notebook]
) -> None:
    """Refuse a parameter that none of the notebooks has, by name."""
    known = {name for n in notebooks for name in n.parameters}
    for key in settings:
        if key in RUNNER_PARAMETERS:
            option = "--" + key.lower().replace("_", "-")
            raise Refused(f"--set {key}: use {option} instead")
        if key not in known:
            close = difflib.get_close_matches(key.upper(), sorted(known))
            meant = f"; did you mean {' or '.join(close)}?" if close else ""
            raise Refused(
                f"--set {key}: no selected notebook has this parameter{meant}"
                f" (there are {', '.join(sorted(known))})"
            )
