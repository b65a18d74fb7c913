"""Studies: their files against the notebooks, running, publishing."""

import json

import pytest
import yaml

from helpers import paths
from helpers.paths import MEASURED_DIR, NOTEBOOKS_DIR, STUDIES_DIR
from helpers.run import main
from helpers.runner import Refused, read_notebooks, run
from helpers.runner.study import read_study

TABLE = """import json
from pathlib import Path
folder = Path(RUN_DIR, "results")
folder.mkdir(exist_ok=True)
rows = "".join(f"{PROFILE},{WIDTH},{seed}\\n" for seed in SEEDS or [])
(folder / "01_scores.csv").write_text("profile,width,run\\n" + rows)"""
PARAMETERS = """PROFILE = "quick"
SEEDS = None
WIDTH = None
DATA_DIR = None
RUN_DIR = None"""
STUDY = yaml.safe_load("""
title: How wide?
needs: nothing
takes: a second
steps:
  - name: narrow
    notebooks: ["01"]
    profile: smoke
    parameters: {WIDTH: 1, SEEDS: [0]}
    columns: {note: first}
  - name: wide
    notebooks: ["01"]
    profile: smoke
    parameters: {WIDTH: 9, SEEDS: [1]}
    columns: {note: last}
publish: {widths: 01_scores}
""")
STEP = {"notebooks": ["01"], "profile": "smoke"}


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in STUDIES_DIR.glob("*.yaml"))
)
def test_every_study_fits_the_notebooks(name):
    study = read_study(name, read_notebooks(NOTEBOOKS_DIR))
    measured = {path.stem for path in MEASURED_DIR.glob("*.csv")}
    assert set(study["publish"]) <= measured
    readme = (MEASURED_DIR / "README.md").read_text("utf-8")
    assert f"--study {name} " in readme


@pytest.fixture
def study(write, no_kernel):
    """Write the study "widths", changed; returns what runs it."""
    write("01_a", TABLE, parameters=PARAMETERS)

    def run_changed(change=None, **options):
        text = yaml.safe_dump(STUDY | (change or {}))
        (paths.STUDIES_DIR / "widths.yaml").write_text(text)
        return run(study="widths", **options)

    return run_changed


def test_a_study_runs_goes_on_and_is_published(study):
    report = study(settings={"DATA_DIR": "here"})
    assert report.folder == paths.RUNS_DIR / "study-widths"
    assert report.status == {"narrow/01_a": "done", "wide/01_a": "done"}
    assert list(paths.MEASURED_DIR.iterdir()) == []
    with pytest.raises(Refused, match="already holds a run; add --resume"):
        study()
    again = {"settings": {"DATA_DIR": "here"}, "resume": True}
    report = study(publish=True, **again)
    assert set(report.status.values()) == {"kept"}
    table = paths.MEASURED_DIR / "widths.csv"
    assert report.published == [table]
    assert table.read_text().splitlines() == [
        "profile,width,run,note",
        "smoke,1,0,first",
        "smoke,9,1,last",
    ]
    # What the file no longer says is no longer a parameter.
    steps = [STUDY["steps"][0] | {"parameters": {"SEEDS": [0]}}]
    report = study({"steps": steps}, publish=True, **again)
    assert report.status == {"narrow/01_a": "done"}
    assert table.read_text().splitlines()[1:] == ["smoke,None,0,first"]


def test_provenance_is_kept_once(study, write):
    source = TABLE.replace("01_scores", "01_provenance")
    source = source.replace("{PROFILE},{WIDTH},{seed}", "data,{WIDTH},same")
    write("01_a", source, parameters=PARAMETERS)
    steps = [STUDY["steps"][0] | {"name": name} for name in ("a", "b")]
    steps.append(STUDY["steps"][1])
    publish = {"widths_provenance": "01_provenance"}
    study({"steps": steps, "publish": publish}, publish=True)
    table = paths.MEASURED_DIR / "widths_provenance.csv"
    assert table.read_text().splitlines()[1:] == ["data,1,same", "data,9,same"]


def test_profile_and_settings_are_put_on_top(study):
    report = study(settings={"WIDTH": 5}, profile="full")
    assert report.folder.name == "study-widths-full"
    for step in ("narrow", "wide"):
        text = report.folder / step / "results" / "01_scores.csv"
        assert text.read_text().splitlines()[1].startswith("full,5,")


@pytest.mark.parametrize(
    "options", [{"settings": {"WIDTH": 5}}, {"profile": "smoke"}]
)
def test_another_study_is_not_published(study, options):
    with pytest.raises(Refused, match="not this study any more"):
        study(publish=True, **options)
    assert list(paths.RUNS_DIR.iterdir()) == []


def test_a_study_that_failed_is_not_published(study):
    steps = [STUDY["steps"][0], STUDY["steps"][1] | {"parameters": {}}]
    steps[1]["parameters"] = {"SEEDS": 5}
    report = study({"steps": steps}, publish=True)
    assert report.exit_code == 1
    assert report.published == list(paths.MEASURED_DIR.iterdir()) == []


@pytest.mark.parametrize(
    ("publish", "columns", "message"),
    [
        ({"a": "01_scores", "b": "01_b"}, {"note": 1}, "01_b.csv: no step"),
        ({"a": "01_scores"}, {"more": 1}, "01_scores.csv: .* columns differ"),
    ],
)
def test_all_tables_are_published_or_none(study, publish, columns, message):
    steps = [STUDY["steps"][0], STUDY["steps"][1] | {"columns": columns}]
    with pytest.raises(Refused, match=message):
        study({"publish": publish, "steps": steps}, publish=True)
    assert list(paths.MEASURED_DIR.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"author": "me"}, "widths.yaml: author: the keys are title, needs"),
        ({"needs": ""}, "widths.yaml: needs: missing"),
        ({"steps": []}, "missing"),
        ({"steps": "01"}, "steps: a list is needed, not '01'"),
        ({"steps": ["01"]}, "steps: the keys are .*not 01"),
        ({"steps": [STEP, STEP]}, "step 01: another step has the same name"),
        ({"steps": [STEP | {"only": 1}]}, "steps: only: the keys are"),
        ({"steps": [STEP | {"notebooks": ["12"]}]}, r"12.*there are 01_a"),
        ({"steps": [STEP | {"notebooks": [1]}]}, r"\[1\]; there are 01_a"),
        ({"steps": [STEP | {"profile": "fast"}]}, "smoke, quick, full"),
        (
            {"steps": [STEP | {"parameters": {"WIDE": 1}}]},
            "widths.yaml, step 01: WIDE: no selected .* mean WIDTH",
        ),
        ({"publish": ["01_scores"]}, "publish: a dict is needed"),
    ],
)
def test_a_wrong_study_is_refused_before_anything_starts(
    study, change, message
):
    with pytest.raises(Refused, match=message):
        study(change)
    assert list(paths.RUNS_DIR.iterdir()) == []


def test_a_file_that_is_no_yaml_is_refused(write):
    write("01_a")
    (paths.STUDIES_DIR / "bad.yaml").write_text("title: [")
    with pytest.raises(Refused, match="bad.yaml cannot be read"):
        run(study="bad")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--study no_such", "no study 'no_such'; there are acne5"),
        ("--study rbc_detection --set X=1", "--set X: no selected"),
        ("--publish", "name a study with --study"),
        ("--study rbc_detection --only 07", "a study says itself which"),
        ("--study rbc_detection --in-place", "it goes with --only alone"),
        ("--in-place --profile full", "it goes with --only alone"),
        ("--only 99", "no notebook ['99']"),
        ("--only=", "--only: it is given without a value"),
        ("--study=", "--study: it is given without a value"),
        ("--jobs 0", "--jobs: a whole number from 1, not 0"),
        ("--timeout 1.5", "--timeout: a whole number from 1, not 1.5"),
        ("--set SEEDS=0,1", "a list has square brackets: [0,1]"),
        ("--set PROFILE=smoke", "PROFILE: the runner has --profile for it"),
        ("--grid --only 00,04 --set RHO=1,2", "--set RHO: 00 would run more"),
        ("--resume", "no run with the profile quick"),
    ],
)
def test_command_line_refuses(
    capsys, monkeypatch, tmp_path, arguments, message
):
    monkeypatch.setattr(paths, "RUNS_DIR", tmp_path)
    try:
        assert main(arguments.split()) == 2
    except SystemExit as stop:  # argparse's own refusals
        assert stop.code == 2
    assert message in capsys.readouterr().err


def test_command_line_runs_and_publishes(write, no_kernel, capsys):
    write("01_a", TABLE, parameters=PARAMETERS)
    text = json.dumps(STUDY)
    (paths.STUDIES_DIR / "widths.yaml").write_text(text)
    assert main(["--study", "widths", "--publish"]) == 0
    printed = capsys.readouterr().out
    assert "wide/01_a: done" in printed
    assert "published widths.csv" in printed
    # What was given is given again, and the folder named.
    given = ["--study=widths", "--profile=full", "--set=WIDTH=a b"]
    assert main([*given, "--set=SEEDS=5", "--jobs=2"]) == 1
    again = "--profile full --set 'WIDTH=a b' --set SEEDS=5 --jobs 2"
    again += " --study widths --resume --run-dir"
    assert f"repair: python -m helpers.run {again} " in capsys.readouterr().out
