"""What is to run: some notebooks, a grid of values, or a measured study.

A study is a file ``data/studies/NAME.yaml``::

    title: What the study asks
    needs: the data and weights it needs, and where they are to be had
    takes: how long, on which machine
    steps:
      - notebooks: ["07"]
        profile: quick
        parameters: {DATASET: chula-rbc-12}
        grid: {SCALE: [0.5, 1.0], SEEDS: [0, 1]}
    publish:
      rbc_detection_scores: 07_real_scores

Each step is a run in a folder of its own, ``name`` or its notebooks' numbers;
one with a ``grid`` is a run for each combination of the grid's values, in a
folder each. A value alone stands for a list of it where the notebooks have a
list: ``SEEDS: [0, 1]`` makes two runs, with the seeds [0] and [1]. Notebooks
and grids of the command line are studies of one step, which are in no file.

At the end ``results/NAME.csv`` of all runs are put together, one run's rows
after another's, with a step's ``columns`` and the grid's parameters where the
rows lack them; of the tables of provenance, each row is kept once. ``publish``
names tables of ``data/measured`` and the result that each is.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml

from helpers import paths
from helpers.runner import notebooks
from helpers.runner.notebooks import Notebook, Refused
from helpers.session import PROFILES

STUDY = {"title": "", "needs": "", "takes": "", "steps": [], "publish": {}}
STEP = {"notebooks": [], "profile": "quick", "parameters": {}}
STEP |= {"grid": {}, "columns": {}, "name": ""}
"""Keys and the values of those that are left out, whose kind is theirs."""
REQUIRED = {"title", "needs", "takes", "steps", "notebooks"}


class Step(NamedTuple):
    """Notebooks with one set of parameters, and a folder of their own."""

    selected: list[Notebook]
    settings: dict[str, object]
    name: str = ""
    """The folder, below the run's; "" for the run's own."""
    columns: dict[str, object] = {}
    """What tells its results from the others', by name of a column."""


def read_study(name: str, there: list[Notebook]) -> dict:
    """Read a study and check it against the notebooks that there are.

    Raises ``Refused`` for an unknown study, key, notebook or parameter, and
    for a value of the wrong kind.
    """
    files = {path.stem: path for path in paths.STUDIES_DIR.glob("*.yaml")}
    if name not in files:
        names = ", ".join(sorted(files)) or "none"
        raise Refused(f"no study {name!r}; there are {names}")
    where = f"{name}.yaml"
    try:
        study = yaml.safe_load(files[name].read_text("utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise Refused(f"{where} cannot be read: {error}") from error
    study = _filled(study, STUDY, where)
    steps = [_filled(s, STEP, f"{where}, steps") for s in study["steps"]]
    for step in steps:
        step["name"] = step["name"] or "_".join(map(str, step["notebooks"]))
        at = f"{where}, step {step['name']}:"
        if step["profile"] not in PROFILES:
            raise Refused(f"{at} profile: one of {', '.join(PROFILES)}")
        if [other["name"] for other in steps].count(step["name"]) > 1:
            raise Refused(f"{at} another step has the same name")
        try:
            selected = notebooks.select(there, step["notebooks"])
        except Refused as error:
            raise Refused(f"{at} {error}") from error
        notebooks.check_settings(step["parameters"], selected, at)
        check_grid(step["grid"], selected, f"{at} grid:")
        if both := step["grid"].keys() & step["parameters"]:
            raise Refused(f"{at} grid: {min(both)}: it has a fixed value, too")
    return study | {"steps": steps}


def _filled(given: object, usual: dict, where: str) -> dict:
    """What is given, with the usual values of the rest."""
    if not isinstance(given, dict):
        raise Refused(f"{where}: the keys are {', '.join(usual)}, not {given}")
    for key in [*usual, *given]:
        if key not in usual:
            raise Refused(f"{where}: {key}: the keys are {', '.join(usual)}")
        value, kind = given.get(key, usual[key]), type(usual[key])
        if not isinstance(value, kind):
            wrong = f"a {kind.__name__} is needed, not {value!r}"
            raise Refused(f"{where}: {key}: {wrong}")
        if key in REQUIRED and not value:
            raise Refused(f"{where}: {key}: missing")
    return usual | given


def check_grid(
    grid: Mapping[str, object], selected: list[Notebook], at: str
) -> None:
    """Refuse a grid that would run a notebook twice in the same way."""
    for key, values in grid.items():
        if not isinstance(values, list) or not values:
            raise Refused(f"{at} {key}: a list of values is needed")
        for number, value in enumerate(values):
            notebooks.check_settings({key: value}, selected, at)
            if value in values[:number]:
                raise Refused(f"{at} {key}: {value!r} is there twice")
        if lack := [n.number for n in selected if key not in n.parameters]:
            raise Refused(
                f"{at} {key}: {', '.join(lack)} would run more than"
                " once without a difference, having no such parameter"
            )


def expanded(
    step: Mapping[str, object],
    there: list[Notebook],
    settings: Mapping[str, object],
    profile: str | None,
) -> list[Step]:
    """A step's combinations of the grid's values; one, without a grid.

    ``settings`` and ``profile`` override the step's.
    """
    selected = notebooks.select(there, step["notebooks"])
    names = {name for n in selected for name in n.parameters}
    more = {k: v for k, v in settings.items() if k in names}
    if profile := profile or step["profile"]:
        more["PROFILE"] = profile
    grid = {k: v for k, v in step["grid"].items() if k not in more}
    found = []
    for values in itertools.product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        listed = {k: _listed(k, v, selected) for k, v in chosen.items()}
        place = [f"{k}={_in_path(v, grid[k])}" for k, v in chosen.items()]
        name = f"{step['name']}/{','.join(place)}".strip("/")
        columns = {k: _text(v) for k, v in chosen.items()} | step["columns"]
        given = step["parameters"] | listed | more
        found.append(Step(selected, given, name, columns))
    return found


def _listed(key: str, value: object, selected: list[Notebook]) -> object:
    """A value; in a list where the notebooks' parameter is one."""
    kind = next(n.kinds[key] for n in selected)
    alone = not isinstance(value, list | None)
    return [value] if alone and kind.startswith("list") else value


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _in_path(value: object, values: Sequence[object]) -> str:
    """One of some values as its part of a folder's name, on any system."""
    texts = [_text(each) for each in (value, *values)]
    short, *shorts = (
        re.sub(r"[^\w.+-]+", "_", text).strip("_") for text in texts
    )
    # Another value may look the same, as "a b" and "A_b" do on Windows.
    alike = [it.casefold() for it in shorts].count(short.casefold()) > 1
    if len(short) > 40 or alike:
        digest = hashlib.sha256(texts[0].encode()).hexdigest()
        short = f"{short[:32]}{digest[:8]}"
    return short


def gather(steps: Sequence[Step], root: Path) -> dict[str, list[pd.DataFrame]]:
    """Put the results of all steps together, below ``root/results``.

    The tidy ones, which have a metric and a value, become one more table,
    ``grid.csv``. Returns the parts of each table by its name.
    """
    tables: dict[str, list[pd.DataFrame]] = {}
    for step in steps:
        for path in sorted((root / step.name / "results").glob("*.csv")):
            if not path.stat().st_size:
                continue
            part = pd.read_csv(path, dtype=str, keep_default_na=False)
            facts = path.stem.endswith("_provenance")
            more = {} if facts else step.columns
            new = {k: v for k, v in more.items() if k not in part}
            tables.setdefault(path.stem, []).append(part.assign(**new))
    place = root / "results"
    for old in place.glob("*.csv"):
        old.unlink()
    for name, parts in tables.items():
        paths.atomic_write(place / f"{name}.csv", _whole(name, parts))
    tidy = [
        part.assign(table=name)
        for name, parts in tables.items()
        for part in parts
        if {"metric", "value"} <= {*part}
    ]
    if tidy:
        paths.atomic_write(root / "grid.csv", _whole("grid", tidy))
    return tables


def _whole(name: str, parts: list[pd.DataFrame]) -> str:
    """A table of all steps as CSV; of facts, each row once."""
    whole = pd.concat(parts)
    if name.endswith("_provenance"):
        whole = whole.drop_duplicates()
    return whole.to_csv(index=False)


def publish_tables(
    names: Mapping[str, str], tables: Mapping[str, list[pd.DataFrame]]
) -> list[Path]:
    """Write a study's tables once all of them have been found whole."""
    texts = {}
    for table, result in names.items():
        parts = tables.get(result, [])
        if len({tuple(part.columns) for part in parts}) != 1:
            wrong = "the steps' columns differ" if parts else "no step has it"
            raise Refused(f"nothing published: {result}.csv: {wrong}")
        texts[paths.MEASURED_DIR / f"{table}.csv"] = _whole(result, parts)
    return [paths.atomic_write(path, text) for path, text in texts.items()]
