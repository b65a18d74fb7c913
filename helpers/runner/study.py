"""Measured studies: notebooks, their parameters, and the tables they make.

A study is a file ``data/studies/NAME.yaml``::

    title: What the study asks
    needs: the data and weights it needs, and where they are to be had
    takes: how long, on which machine
    steps:
      - notebooks: ["07"]
        profile: quick
        parameters: {DATASET: chula-rbc-12}
    publish:
      rbc_detection_scores: 07_real_scores

Each step is a run in a folder of its own, ``name`` or its notebooks' numbers.
``publish`` names tables of ``data/measured`` and the result each is made of:
the rows of one step after another, with a step's ``columns`` where they lack
them; of the tables of provenance, each row is kept once.
"""

import shlex
from pathlib import Path

import pandas as pd
import yaml

from helpers import paths
from helpers.runner import notebooks
from helpers.runner.batch import Report, option, run
from helpers.runner.notebooks import Notebook, Refused
from helpers.session import PROFILES

STUDY = {"title": "", "needs": "", "takes": "", "steps": [], "publish": {}}
STEP = {"notebooks": [], "profile": "quick", "parameters": {}}
STEP |= {"columns": {}, "name": ""}
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
    return study | {"steps": steps}


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
) -> Report:
    """Run a study's steps, each in a folder below ``runs/study-NAME``.

    ``settings`` and ``profile`` override the study's. ``publish`` writes its
    tables, each whole, into ``data/measured``, if all its steps are done.
    Raises ``Refused`` before anything starts, and where such a table is
    missing.
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
    run_dir = paths.folder(run_dir or runs_dir / f"study-{name}{tail}")
    again = f"python -m helpers.run --study {name} --resume{option(run_dir)}"
    again += " --publish" * publish
    again += f" --profile {profile}" if profile else ""
    for key, value in settings.items():
        text = value if key in notebooks.TEXTS else repr(value)
        again += f" --set {shlex.quote(f'{key}={text}')}"
    report = Report(run_dir, again=again)
    for step in study["steps"]:
        selected = notebooks.select(there, step["notebooks"])
        names = {k for n in selected for k in n.parameters}
        more = {k: v for k, v in settings.items() if k in names}
        folder = run_dir / step["name"]
        done = run(
            profile or step["profile"],
            step["notebooks"],
            step["parameters"] | more,
            folder,
            resume and folder.is_dir(),
            notebooks_dir,
            again=again,
        )
        for key, status in done.status.items():
            report.status[f"{step['name']}/{key}"] = status
            report.seconds[f"{step['name']}/{key}"] = done.seconds[key]
    if publish and not report.exit_code:
        report.published = _publish(study, run_dir, measured_dir)
    return report


def _publish(study: dict, folder: Path, measured_dir: Path) -> list[Path]:
    """Write the study's tables once all of them have been put together."""
    texts = {}
    for table, result in study["publish"].items():
        parts, facts = [], result.endswith("_provenance")
        for step in study["steps"]:
            path = folder / step["name"] / "results" / f"{result}.csv"
            if path.is_file():
                part = pd.read_csv(path, dtype=str, keep_default_na=False)
                more = {} if facts else step["columns"]
                new = {k: v for k, v in more.items() if k not in part}
                parts.append(part.assign(**new))
        if not parts or len({tuple(part.columns) for part in parts}) > 1:
            wrong = "the steps' columns differ" if parts else "no step has it"
            raise Refused(f"nothing published: {result}.csv: {wrong}")
        whole = pd.concat(parts)
        whole = whole.drop_duplicates() if facts else whole
        texts[measured_dir / f"{table}.csv"] = whole.to_csv(index=False)
    return [paths.atomic_write(path, text) for path, text in texts.items()]
