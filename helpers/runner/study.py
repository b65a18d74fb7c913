"""Measured studies: notebooks, their parameters, and the tables they make.

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
list: ``SEEDS: [0, 1]`` makes two runs, with the seeds [0] and [1].

At the end ``results/NAME.csv`` of all runs are put together, one run's rows
after another's, with a step's ``columns`` and the grid's parameters where the
rows lack them; of the tables of provenance, each row is kept once. ``publish``
names tables of ``data/measured`` and the result that each is.
"""

import hashlib
import itertools
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import yaml

from helpers import paths
from helpers.runner import notebooks
from helpers.runner.batch import Report, Step, run_steps
from helpers.runner.folder import new_folder, newest_folder
from helpers.runner.notebooks import Notebook, Refused
from helpers.session import PROFILES

STUDY = {"title": "", "needs": "", "takes": "", "steps": [], "publish": {}}
STEP = {"notebooks": [], "profile": "quick", "parameters": {}}
STEP |= {"grid": {}, "columns": {}, "name": ""}
"""Keys and the values of those that are left out, whose kind is theirs."""
REQUIRED = {"title", "needs", "takes", "steps", "notebooks"}

PLACES = {"DATA_DIR"}
"""Parameters that do not change what a study measures."""


def read_study(name: str, there: list[Notebook], studies_dir: Path) -> dict:
    """Read a study and check it against the notebooks that there are.

    Raises ``Refused`` for an unknown study, key, notebook or parameter, and
    for a value of the wrong kind.
    """
    known = sorted(path.stem for path in studies_dir.glob("*.yaml"))
    if name not in known:
        names = ", ".join(known) or "none"
        raise Refused(f"no study {name!r}; there are {names}")
    where = f"{name}.yaml"
    try:
        text = (studies_dir / where).read_text("utf-8")
        study = _filled(yaml.safe_load(text), STUDY, where)
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise Refused(f"{where} cannot be read: {error}") from error
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
        _check_grid(step, selected, f"{at} grid:")
    return study | {"steps": steps}


def _check_grid(step: dict, selected: list[Notebook], at: str) -> None:
    """Refuse a grid that would run a notebook twice in the same way."""
    for key, values in step["grid"].items():
        if not isinstance(values, list) or not values:
            raise Refused(f"{at} {key}: a list of values is needed")
        if key in step["parameters"]:
            raise Refused(f"{at} {key}: it has a fixed value, too")
        for number, value in enumerate(values):
            notebooks.check_settings({key: value}, selected, at)
            if value in values[:number]:
                raise Refused(f"{at} {key}: {value!r} is there twice")
        if lack := [n.number for n in selected if key not in n.parameters]:
            raise Refused(
                f"{at} {key}: {', '.join(lack)} would run more than"
                " once without a difference, having no such parameter"
            )


def _expanded(
    step: dict,
    there: list[Notebook],
    settings: Mapping[str, object],
    profile: str | None,
) -> list[Step]:
    """A step's combinations of the grid's values; one, without a grid.

    ``settings`` and ``profile`` override the step's.
    """
    selected = notebooks.select(there, step["notebooks"])
    names = {name for n in selected for name in n.parameters}
    usual = {"PROFILE": profile or step["profile"]} | step["parameters"]
    more = {k: v for k, v in settings.items() if k in names}
    grid = {k: v for k, v in step["grid"].items() if k not in more}
    found = []
    for values in itertools.product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        listed = {k: _listed(k, v, selected) for k, v in chosen.items()}
        place = ",".join(f"{k}={_in_path(v)}" for k, v in chosen.items())
        name = f"{step['name']}/{place}".strip("/")
        columns = {k: _text(v) for k, v in chosen.items()} | step["columns"]
        found.append(Step(selected, usual | listed | more, name, columns))
    return found


def _listed(key: str, value: object, selected: list[Notebook]) -> object:
    """A value; in a list where the notebooks' parameter is one."""
    usual = [n.parameters[key] for n in selected]
    usual = [it[0] if isinstance(it, tuple) else it for it in usual]
    alone = not isinstance(value, list | None)
    return [value] if alone and isinstance(usual[0], list) else value


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _in_path(value: object) -> str:
    """A value as a part of a folder's name on any system."""
    text = _text(value)
    short = re.sub(r"[^\w.+-]+", "_", text).strip("_")
    if len(short) > 40:
        short = f"{short[:32]}{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return short


def _filled(given: object, usual: dict, where: str) -> dict:
    """What is given, with the usual values of the rest."""
    if not isinstance(given, dict):
        raise Refused(f"{where}: the keys are {', '.join(usual)}, not {given}")
    for key in [*usual, *given]:
        if key not in usual:
            raise Refused(f"{where}: {key}: the keys are {', '.join(usual)}")
        value, kind = given.get(key, usual[key]), type(usual[key]).__name__
        if not isinstance(value, type(usual[key])):
            raise Refused(f"{where}: {key}: a {kind} is needed, not {value!r}")
        if key in REQUIRED and not value:
            raise Refused(f"{where}: {key}: missing")
    return usual | given


def run_study(
    name: str,
    settings: dict[str, object] | None = None,
    profile: str | None = None,
    run_dir: Path | None = None,
    resume: bool = False,
    publish: bool = False,
    notebooks_dir: Path = paths.NOTEBOOKS_DIR,
    runs_dir: Path = paths.RUNS_DIR,
    studies_dir: Path = paths.STUDIES_DIR,
    measured_dir: Path = paths.MEASURED_DIR,
    **how: object,
) -> Report:
    """Run a study's steps, each in a folder below ``runs/study-NAME``.

    ``settings`` and ``profile`` override the study's. ``publish`` writes its
    tables, each whole, into ``data/measured``, if all its steps are done.
    ``how`` goes to `run_steps`. Raises ``Refused`` before anything starts,
    and where such a table is missing.
    """
    settings = settings or {}
    there = notebooks.read_notebooks(notebooks_dir)
    study = read_study(name, there, studies_dir)
    changed = sorted(settings.keys() - PLACES) + ["--profile"] * bool(profile)
    if publish and changed:
        raise Refused(
            f"--publish: with another {', '.join(changed)} it is not this"
            f" study any more; change data/studies/{name}.yaml instead"
        )
    numbers = [n for step in study["steps"] for n in step["notebooks"]]
    notebooks.check_settings(settings, notebooks.select(there, numbers))
    tail = f"-{profile}" if profile else ""
    run_dir = run_dir or runs_dir / f"study-{name}{tail}"
    again = f"python -m helpers.run --study {name}" + " --publish" * publish
    again += f" --profile {profile}" if profile else ""
    again += "".join(_set(key, [value]) for key, value in settings.items())
    parts = [_expanded(s, there, settings, profile) for s in study["steps"]]
    steps = [step for part in parts for step in part]
    report = run_steps(steps, run_dir, again, resume, alone=True, **how)
    tables = _gathered(steps, report.folder)
    if publish and not report.exit_code:
        report.published = _publish(study["publish"], tables, measured_dir)
    return report


def run_grid(
    grid: dict[str, list],
    profile: str | None = None,
    only: Sequence[str] | None = None,
    settings: dict[str, object] | None = None,
    run_dir: Path | None = None,
    resume: bool = False,
    notebooks_dir: Path = paths.NOTEBOOKS_DIR,
    runs_dir: Path = paths.RUNS_DIR,
    **how: object,
) -> Report:
    """Run notebooks for each combination of the values in a ``grid``.

    As a study of one step, which is in no file; each combination has a folder
    below the run's. ``how`` goes to `run_steps`. Raises ``Refused`` before
    anything starts.
    """
    profile, settings = profile or "quick", settings or {}
    there = notebooks.read_notebooks(notebooks_dir)
    selected = notebooks.select(there, only)
    notebooks.check_settings(settings, selected)
    step = STEP | {"notebooks": only, "parameters": settings, "grid": grid}
    _check_grid(step, selected, "--set")
    if run_dir is None:
        place = newest_folder if resume else new_folder
        run_dir = place(runs_dir, f"{profile}-grid")
    again = f"python -m helpers.run --grid --profile {profile}"
    again += f" --only {','.join(only)}" if only else ""
    both = {**{k: [v] for k, v in settings.items()}, **grid}
    again += "".join(_set(key, values) for key, values in both.items())
    steps = _expanded(step, there, {}, profile)
    report = run_steps(steps, run_dir, again, resume, alone=True, **how)
    _gathered(steps, report.folder)
    return report


def _set(key: str, values: list) -> str:
    """Values of a parameter as a command's option."""
    texts = [v if key in notebooks.TEXTS else repr(v) for v in values]
    return f" --set {shlex.quote(f'{key}=' + ','.join(map(str, texts)))}"


def _gathered(steps: list[Step], root: Path) -> dict[str, list[pd.DataFrame]]:
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


def _publish(
    publish: Mapping[str, str],
    tables: Mapping[str, list[pd.DataFrame]],
    measured_dir: Path,
) -> list[Path]:
    """Write a study's tables once all of them have been found whole."""
    texts = {}
    for table, result in publish.items():
        parts = tables.get(result, [])
        if len({tuple(part.columns) for part in parts}) != 1:
            wrong = "the steps' columns differ" if parts else "no step has it"
            raise Refused(f"nothing published: {result}.csv: {wrong}")
        texts[measured_dir / f"{table}.csv"] = _whole(result, parts)
    return [paths.atomic_write(path, text) for path, text in texts.items()]
