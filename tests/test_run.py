"""The headless runner on tiny notebooks, with real kernels and signals."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from helpers import provenance
from helpers.batch import run
from helpers.execution import check_kernel
from helpers.manifest import (
    Refused,
    check_settings,
    parse_settings,
    read_notebooks,
    select,
)
from helpers.refresh import refresh
from helpers.run import main

WRITE = """from pathlib import Path
folder = Path(RUN_DIR, "results")
folder.mkdir(exist_ok=True)
(folder / "{0}.csv").write_text("{0}")
print(PROFILE, SEEDS)"""
FAIL = """def broken():
    raise KeyError("no such thing")
broken()"""
LONG = """import os, time
Path(RUN_DIR, "kernel.pid").write_text(str(os.getpid()))
(folder / "half.csv").write_text("half")
time.sleep(120)"""


@pytest.fixture(autouse=True)
def settled_code(monkeypatch):
    """A constant for the code's digest: files may be edited meanwhile."""
    monkeypatch.setattr(provenance, "code_digest", lambda: "settled")


@pytest.fixture
def runner(tmp_path):
    """``run`` with the test's own notebooks and runs folders."""

    def call(*args, **kwargs):
        return run(
            *args,
            notebooks_dir=tmp_path / "notebooks",
            runs_dir=tmp_path / "runs",
            **kwargs,
        )

    return call


@pytest.fixture
def start(tmp_path):
    """Start the command line in a process of its own; killed at the end."""
    started = []

    def call(*arguments: str) -> subprocess.Popen:
        code = (
            "import sys; from pathlib import Path; from helpers import"
            " provenance, run; provenance.code_digest = lambda: 'settled';"
            " sys.exit(run.main(sys.argv[1:], Path('notebooks').resolve(),"
            " Path('runs').resolve()))"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield call
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def state_of(folder: Path) -> dict:
    return json.loads((folder / "state.json").read_text())


def wait_for(condition, seconds: float = 40.0):
    """The first true value of ``condition()``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"nothing came in {seconds} s")


def staged_kernel(folder: Path) -> int:
    """Process id of the kernel that is busy with the LONG cell."""

    def pid():
        found = list(folder.glob(".staging/*/kernel.pid"))
        return found and int(found[0].read_text() or 0)

    return wait_for(pid)


# What is refused, before anything starts


def test_unknown_notebook_is_refused_by_name(write_notebook, runner, tmp_path):
    write_notebook("01_a")
    with pytest.raises(Refused, match=r"'07'; there are 01_a"):
        runner("smoke", ["01", "07"])
    assert not (tmp_path / "runs").exists()


def test_unknown_parameter_is_refused_with_near_miss(
    write_notebook, runner, tmp_path
):
    write_notebook("01_a")
    with pytest.raises(Refused, match=r"SEED: .*did you mean SEEDS"):
        runner("smoke", settings={"SEED": [1]})
    assert not (tmp_path / "runs").exists()


def test_parameter_of_an_unselected_notebook_is_refused(write_notebook):
    first = write_notebook("01_a")
    write_notebook("02_b", parameters="PROFILE='quick'\nRUN_DIR=None\nW=1")
    notebooks = read_notebooks(first.parent)
    check_settings({"W": 2}, notebooks)
    with pytest.raises(Refused, match="W: no selected notebook"):
        check_settings({"W": 2}, select(notebooks, ["01"]))
    with pytest.raises(Refused, match="use --run-dir"):
        check_settings({"RUN_DIR": "x"}, notebooks)


def test_settings_are_literals_or_strings():
    pairs = ["A=[0, 1]", "B=None", "C=acne5", "D=1e-3", "E='3'", "F=a=b"]
    pairs.append("G=(1, 2)")
    assert parse_settings(pairs) == {
        "A": [0, 1],
        "B": None,
        "C": "acne5",
        "D": 0.001,
        "E": "3",
        "F": "a=b",
        "G": [1, 2],
    }


@pytest.mark.parametrize(
    "pair", ["A", "=3", "A=[0, 1", "A=true", "A={0: 1}", "A={1, 2}", "A=b'x'"]
)
def test_bad_setting_is_refused(pair):
    with pytest.raises(Refused, match=re.escape(pair)):
        parse_settings([pair])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("PROFILE = 'quick'", "add RUN_DIR"),
        ("PROFILE = RUN_DIR = None", "more than NAME = literal"),
        ("PROFILE = print(1)\nRUN_DIR = None", "PROFILE is no literal"),
    ],
)
def test_bad_parameters_cell_is_refused(write_notebook, source, message):
    path = write_notebook("01_a", parameters=source)
    with pytest.raises(Refused, match=message):
        read_notebooks(path.parent)


def test_broken_file_and_unmet_needs_are_refused(write_notebook):
    path = write_notebook("01_a", needs=("03",))
    with pytest.raises(Refused, match="01_a.ipynb needs 03"):
        read_notebooks(path.parent)
    path.write_text("{")
    with pytest.raises(Refused, match="01_a.ipynb cannot be used"):
        read_notebooks(path.parent)


def test_command_line_refuses_with_status_2(write_notebook, tmp_path, capsys):
    write_notebook("01_a")
    where = (tmp_path / "notebooks", tmp_path / "runs")
    assert main(["--only", "9"], *where) == 2
    assert "no notebook '9'" in capsys.readouterr().err
    assert main(["--resume"], *where) == 2
    assert "no run with the profile quick" in capsys.readouterr().err


def test_folder_of_other_files_is_refused_untouched(
    write_notebook, runner, tmp_path
):
    write_notebook("01_a")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(Refused, match="other files"):
        runner("smoke", run_dir=tmp_path / "mine")
    names = [p.name for p in (tmp_path / "mine").iterdir()]
    assert names == ["letter.txt"]


# A run, its failures and its resumption


def test_run_executes_and_leaves_the_sources(
    write_notebook, runner, monkeypatch, tmp_path
):
    paths = [
        write_notebook("01_a", WRITE.format("01")),
        write_notebook("02_b", "import os, sys; print(sys.executable)"),
    ]
    before = [path.read_bytes() for path in paths]
    monkeypatch.setenv("MPLBACKEND", "agg")
    report = runner("smoke", settings={"SEEDS": [3, 4]})
    assert report.exit_code == 0
    assert [path.read_bytes() for path in paths] == before
    assert (report.folder / "results" / "01.csv").read_text() == "01"
    executed = report.folder / "notebooks"
    nb = nbformat.read(executed / "01_a.ipynb", as_version=4)
    assert nb.cells[-1].outputs[-1].text == "smoke [3, 4]\n"
    nb = nbformat.read(executed / "02_b.ipynb", as_version=4)
    assert nb.cells[-1].outputs[0].text.strip() == sys.executable
    assert not list(report.folder.glob(".staging/*"))
    versions = json.loads((report.folder / "versions.json").read_text())
    assert versions["papermill"]
    assert "01_a: done" in (report.folder / "log.txt").read_text()


def test_failure_is_located_and_the_rest_runs(write_notebook, runner, capfd):
    write_notebook("01_a", WRITE.format("01"), FAIL, "print('never')")
    write_notebook("02_b", WRITE.format("02"))
    write_notebook("03_c", WRITE.format("03"), needs=("01",))
    write_notebook("04_d", WRITE.format("04"), needs=("03",))
    report = runner("smoke")
    assert report.exit_code == 1
    assert report.status == {
        "01_a": "failed in code cell 3",
        "02_b": "done",
        "03_c": "skipped because 01_a failed",
        "04_d": "skipped because 03_c failed",
    }
    printed = capfd.readouterr().out
    assert "01_a.ipynb failed in code cell 3: KeyError" in printed
    assert "broken()" in printed
    assert "\x1b" not in printed
    results = [p.name for p in (report.folder / "results").iterdir()]
    assert results == ["02.csv"]
    executed = [p.name for p in (report.folder / "notebooks").iterdir()]
    assert executed == ["02_b.ipynb"]
    assert (report.folder / "failed" / "01_a.ipynb").is_file()


def test_dead_kernel_is_a_failure(write_notebook, runner):
    write_notebook("01_a", "1", "import os; os._exit(3)", "2")
    write_notebook("02_b", "1")
    report = runner("smoke")
    assert report.status == {"01_a": "failed in code cell 3", "02_b": "done"}


def test_needed_results_are_there_and_are_not_claimed(write_notebook, runner):
    read = "print(open(f'{RUN_DIR}/results/01.csv').read())"
    write_notebook("01_a", WRITE.format("01"))
    write_notebook("02_b", read, needs=("01",))
    report = runner("smoke")
    assert report.exit_code == 0
    files = state_of(report.folder)["notebooks"]["02_b"]["files"]
    assert list(files) == ["notebooks/02_b.ipynb"]
    with pytest.raises(Refused, match=r"02_b needs 01_a \(missing\)"):
        runner("smoke", ["02"])
    assert list(report.folder.parent.iterdir()) == [report.folder]
    write_notebook("01_a", WRITE.format("01"), "1")
    with pytest.raises(Refused, match=r"02_b needs 01_a \(its cells changed"):
        runner("smoke", ["02"], resume=True)


def test_two_notebooks_may_not_write_the_same_file(write_notebook, runner):
    write_notebook("01_a", WRITE.format("same"))
    write_notebook("02_b", WRITE.format("same") + "\n1")
    report = runner("smoke")
    assert report.status["02_b"].startswith("failed")
    error = state_of(report.folder)["notebooks"]["02_b"]["error"]
    assert "results/same.csv, which is 01_a's" in error


def test_resume_runs_only_what_has_to(write_notebook, runner, monkeypatch):
    write_notebook("01_a", WRITE.format("01"))
    write_notebook("02_b", FAIL)
    write_notebook("03_c", WRITE.format("03"))
    first = runner("smoke", settings={"SEEDS": [1]})
    folder = first.folder
    with pytest.raises(Refused, match="add --resume"):
        runner("smoke", run_dir=folder)
    with pytest.raises(Refused, match="the profile smoke, not full"):
        runner("full", run_dir=folder, resume=True)

    def resumed(**kwargs):
        again = runner("smoke", resume=True, **kwargs)
        assert again.folder == folder
        return "".join(
            number if status == "done" else status[0]
            for number, status in zip(
                "123", again.status.values(), strict=True
            )
        )

    assert resumed() == "kfk"
    write_notebook("02_b", WRITE.format("02"))
    assert resumed() == "k2k"
    assert not (folder / "failed" / "02_b.ipynb").exists()
    assert resumed() == "kkk"
    # The settings of the run stay, as its executed notebooks show.
    assert "smoke [1]" in (folder / "notebooks" / "02_b.ipynb").read_text()
    (folder / "results" / "03.csv").write_text("altered")
    assert resumed() == "kk3"
    (folder / "notebooks" / "01_a.ipynb").unlink()
    assert resumed() == "1kk"
    write_notebook("03_c", WRITE.format("03"), "print('new')")
    assert resumed() == "kk3"
    assert resumed(settings={"SEEDS": [2]}) == "123"
    monkeypatch.setattr(provenance, "code_digest", lambda: "other code")
    assert resumed(only=["01", "02", "03"]) == "123"


def test_stale_inputs_make_a_notebook_stale(write_notebook, runner):
    write_notebook("01_a", WRITE.format("01"))
    write_notebook("02_b", "1", needs=("01",))
    write_notebook("03_c", "1")
    runner("smoke")
    source = "import uuid\n" + WRITE.format("01").replace(
        '"01")', "uuid.uuid4().hex)"
    )
    write_notebook("01_a", source)
    again = runner("smoke", resume=True)
    assert list(again.status.values()) == ["done", "done", "kept"]


def test_results_no_longer_written_go_away(write_notebook, runner):
    write_notebook("01_a", WRITE.format("old"))
    folder = runner("smoke").folder
    write_notebook("01_a", WRITE.format("new"))
    runner("smoke", resume=True)
    assert [p.name for p in (folder / "results").iterdir()] == ["new.csv"]


def test_code_digest_follows_the_code(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setattr(provenance, "PUBLISHED_DIR", tmp_path)
    before = provenance.code_digest()
    assert provenance.code_digest() == before
    (tmp_path / "table.csv").write_text("value\n1\n")
    assert provenance.code_digest() != before


# Signals and other runners


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_leaves_nothing_half_done(
    write_notebook, start, tmp_path, number
):
    write_notebook("01_a", WRITE.format("01"))
    write_notebook("02_b", WRITE.format("02"), LONG)
    folder = tmp_path / "runs" / "mine"
    process = start("--profile", "smoke", "--run-dir", str(folder))
    kernel = staged_kernel(folder)
    process.send_signal(number)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 128 + number, output
    assert f"interrupted by {number.name}" in output
    assert "--resume --run-dir runs/mine" in output
    assert output.splitlines()[-1].startswith("Interrupted; go on with:")
    assert "died" not in output
    assert not psutil.pid_exists(kernel)
    assert list(state_of(folder)["notebooks"]) == ["01_a"]
    assert [p.name for p in (folder / "results").iterdir()] == ["01.csv"]
    assert not (folder / ".staging").exists()


def test_killed_run_is_resumed(write_notebook, start, runner, tmp_path):
    write_notebook("01_a", WRITE.format("01"))
    write_notebook("02_b", WRITE.format("02"), LONG)
    folder = tmp_path / "runs" / "mine"
    process = start("--profile", "smoke", "--run-dir", str(folder))
    kernel = staged_kernel(folder)
    process.kill()
    process.wait()
    assert [p.name for p in (folder / "results").iterdir()] == ["01.csv"]
    assert [p.name for p in (folder / "notebooks").iterdir()] == ["01_a.ipynb"]
    wait_for(lambda: not psutil.pid_exists(kernel))
    write_notebook("02_b", WRITE.format("02"))
    report = runner(run_dir=folder, resume=True)
    assert report.status == {"01_a": "kept", "02_b": "done"}
    assert not (folder / ".staging").exists() or not list(
        (folder / ".staging").iterdir()
    )


def test_publication_cut_short_is_redone(write_notebook, runner):
    write_notebook("01_a", WRITE.format("01"))
    folder = runner("smoke").folder
    state = state_of(folder)
    record = state["notebooks"]["01_a"]
    stray = {"results/stray.csv": "0" * 64}
    state["notebooks"]["01_a"] = {
        "status": "publishing",
        "files": record["files"] | stray,
    }
    (folder / "results" / "stray.csv").write_text("of the killed attempt")
    (folder / "state.json").write_text(json.dumps(state))
    assert runner("smoke", resume=True).status == {"01_a": "done"}
    assert not (folder / "results" / "stray.csv").exists()


def test_same_folder_is_refused_to_a_second_runner(
    write_notebook, start, runner, tmp_path
):
    write_notebook("01_a", WRITE.format("01"), LONG)
    folder = tmp_path / "runs" / "mine"
    process = start("--profile", "smoke", "--run-dir", str(folder))
    staged_kernel(folder)
    with pytest.raises(Refused, match=f"process id {process.pid};"):
        runner("smoke", run_dir=folder, resume=True)
    assert process.poll() is None


def test_two_runs_at_once_get_folders_of_their_own(
    write_notebook, start, tmp_path
):
    write_notebook("01_a", WRITE.format("01"))
    both = [start("--profile", "smoke") for _ in range(2)]
    for process in both:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
    folders = list((tmp_path / "runs").iterdir())
    assert len(folders) == 2
    for folder in folders:
        assert (folder / "results" / "01.csv").read_text() == "01"


def test_kernel_of_another_interpreter_is_not_taken(tmp_path, monkeypatch):
    spec = tmp_path / "kernels" / "python3"
    spec.mkdir(parents=True)
    content = {
        "argv": ["/nowhere/bin/python", "-m", "ipykernel_launcher"],
        "display_name": "Python 3",
        "language": "python",
    }
    (spec / "kernel.json").write_text(json.dumps(content))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    check_kernel()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "empty"))
    with pytest.raises(Refused, match="/nowhere/bin/python"):
        check_kernel()


# Refreshing the committed notebooks


def test_refresh_replaces_notebooks_and_figures(write_notebook, tmp_path):
    draw = (
        "from pathlib import Path\nf = Path(RUN_DIR, 'figures')\nf.mkdir()\n"
        "_ = (f / '01_new.png').write_bytes(b'new')\n7"
    )
    source = write_notebook("01_a", draw, "print(PROFILE)")
    figures = tmp_path / "figures"
    figures.mkdir()
    for name in ("01_old.png", "02_other.png"):
        (figures / name).write_bytes(b"old")
    where = (tmp_path / "notebooks", figures, tmp_path / "runs")
    assert refresh(None, *where).exit_code == 0
    nb = nbformat.read(source, as_version=4)
    nbformat.validate(nb)
    assert [c.cell_type for c in nb.cells] == ["markdown"] + ["code"] * 3
    assert [c.execution_count for c in nb.cells[1:]] == [1, 2, 3]
    assert nb.cells[2].outputs[0].execution_count == 2
    assert nb.cells[3].outputs[0].text == "quick\n"
    assert [c.id for c in nb.cells] == [
        "title",
        "parameters",
        "cell-0",
        "cell-1",
    ]
    assert "papermill" not in source.read_text()
    assert str(tmp_path) not in source.read_text()
    names = sorted(p.name for p in figures.iterdir())
    assert names == ["01_new.png", "02_other.png"]
    once = source.read_bytes()
    refresh(None, *where)
    assert source.read_bytes() == once


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("import sys; print('w', file=sys.stderr)", "writes to stderr"),
        ("RUN_DIR", "absolute path"),
        ("object()", "address in memory"),
    ],
)
def test_refresh_replaces_nothing_that_cannot_be_shared(
    write_notebook, tmp_path, cell, message
):
    sources = [write_notebook("01_a", "1"), write_notebook("02_b", cell)]
    before = [path.read_bytes() for path in sources]
    where = (tmp_path / "notebooks", tmp_path / "figures", tmp_path / "runs")
    with pytest.raises(Refused, match=f"02_b.ipynb: cell 2 .*{message}"):
        refresh(None, *where)
    assert [path.read_bytes() for path in sources] == before


def test_refresh_replaces_nothing_after_a_failure(write_notebook, tmp_path):
    sources = [write_notebook("01_a", "1"), write_notebook("02_b", "1/0")]
    before = [path.read_bytes() for path in sources]
    where = (tmp_path / "notebooks", tmp_path / "figures", tmp_path / "runs")
    assert refresh(None, *where).exit_code == 1
    assert [path.read_bytes() for path in sources] == before
