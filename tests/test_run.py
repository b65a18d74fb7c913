"""The headless runner on tiny notebooks, with real kernels and signals."""

import contextlib
import io
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import papermill
import psutil
import pytest

from helpers import results
from helpers.run import main, summary
from helpers.runner import batch, provenance
from helpers.runner.batch import Report, run
from helpers.runner.book import Refused, parse_settings, read_notebooks
from helpers.runner.folder import RunFolder
from helpers.runner.kernel import Failure
from helpers.runner.sharing import blemishes, refresh

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


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def wait_for(condition, seconds: float = 40.0):
    """The first true value of ``condition()``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"nothing came in {seconds} s")


@pytest.fixture(autouse=True)
def settled_code(monkeypatch):
    """A constant for the code's digest: files may be edited meanwhile."""
    monkeypatch.setattr(provenance, "code_digest", lambda: "settled")


@pytest.fixture
def write(write_notebook, tmp_path):
    """Write a notebook into ``tmp_path/"notebooks"``."""
    return lambda *args, **more: write_notebook(
        tmp_path / "notebooks", *args, **more
    )


@pytest.fixture
def runner(tmp_path):
    """``run`` with the test's own notebooks and runs folders."""
    where = {"notebooks_dir": tmp_path / "notebooks"}
    where["runs_dir"] = tmp_path / "runs"
    return lambda *args, **more: run(*args, **where, **more)


@pytest.fixture
def no_kernel(monkeypatch):
    """Prepare notebooks instead of executing them: it takes no time.

    One that ends with ``FAIL`` fails in its cell 2; the others leave a table
    with the name that is their last cell, else with their own.
    """

    def prepare(source, parameters, output):
        nb = papermill.execute_notebook(
            source, output, parameters, prepare_only=True, language="python"
        )
        last = nb.cells[-1].source
        if last == FAIL:
            return Failure(2, "KeyError")
        name = last if last.isidentifier() else source.stem
        (output.parents[1] / "results" / f"{name}.csv").touch()
        return None

    monkeypatch.setattr(batch, "execute", prepare)


@pytest.fixture
def start(tmp_path):
    """Start the command line in a process of its own; killed at the end."""
    code = """import sys; from pathlib import Path; from helpers import run
from helpers.runner import provenance
provenance.code_digest = lambda: "settled"
sys.exit(run.main(sys.argv[1:], Path("notebooks"), Path("runs")))"""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with contextlib.ExitStack() as stack:

        def call(*arguments: str) -> subprocess.Popen:
            command = [sys.executable, "-c", code, *arguments]
            process = subprocess.Popen(
                command, cwd=tmp_path, text=True, **pipes
            )
            stack.callback(process.communicate)
            stack.callback(process.kill)
            return process

        yield call


# What is refused, before anything starts


@pytest.mark.parametrize(
    ("only", "key", "message"),
    [
        (["01", "07"], "SEEDS", r"\['07'\]; there are 01_a, 02_b"),
        (None, "SEED", r"SEED: no .* did you mean SEEDS\?"),
        (["01"], "WIDTH", "WIDTH: no selected notebook"),
        (None, "RUN_DIR", "RUN_DIR: no selected notebook"),
    ],
)
def test_unknown_names_are_refused_before_anything_starts(
    write, runner, tmp_path, only, key, message
):
    write("01_a")
    write("02_b", parameters="PROFILE=''\nRUN_DIR=None\nWIDTH=1")
    with pytest.raises(Refused, match=message):
        runner("smoke", only, {key: 1})
    assert names(tmp_path) == ["notebooks"]


def test_settings_are_literals_or_words():
    pairs = ["A=[0, 1]", "B=None", "C=acne5", "D=1e-3", "E='3'", "F=a=b"]
    values = [[0, 1], None, "acne5", 0.001, "3", "a=b"]
    assert parse_settings(pairs) == dict(zip("ABCDEF", values, strict=True))


@pytest.mark.parametrize(
    "pair", ["A", "=3", "A=[0, 1", "A=true", "A={0: 1}", "A={1, 2}", "A=1,2"]
)
def test_bad_setting_is_refused(pair):
    with pytest.raises(Refused, match=re.escape(pair)):
        parse_settings([pair])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("PROFILE = 'quick'", "01_a.ipynb.*lacks {'RUN_DIR'}"),
        ("PROFILE = RUN_DIR = None", "01_a.ipynb.*not PROFILE = RUN_DIR"),
        ("PROFILE = print(1)", r"01_a.ipynb.*not PROFILE = print\(1\)"),
    ],
)
def test_bad_parameters_cell_is_refused(write, parameters, message):
    path = write("01_a", parameters=parameters)
    with pytest.raises(Refused, match=message):
        read_notebooks(path.parent)


def test_unusable_book_is_refused(write):
    path = write("01_a", needs=("03",))
    with pytest.raises(Refused, match=r"01_a.ipynb needs \['03'\]"):
        read_notebooks(path.parent)
    path.write_text("{")
    with pytest.raises(Refused, match="01_a.ipynb cannot be used"):
        read_notebooks(path.parent)
    write("01_a")
    write("01_b")
    with pytest.raises(Refused, match="two notebooks bear the number 01"):
        read_notebooks(path.parent)


def test_command_line_refuses_with_status_2(write, tmp_path, capsys):
    write("01_a")
    where = (tmp_path / "notebooks", tmp_path / "runs")
    assert main(["--only", "9"], *where) == 2
    assert "no notebook ['9']" in capsys.readouterr().err
    assert main(["--resume"], *where) == 2
    assert "no run with the profile quick" in capsys.readouterr().err


def test_folder_of_other_files_is_refused_untouched(write, runner, tmp_path):
    source = write("01_a")
    with pytest.raises(Refused, match="other files"):
        runner("smoke", run_dir=source.parent)
    assert names(source.parent) == [source.name]


# One run, read by several tests


@pytest.fixture(scope="module")
def finished(write_notebook, tmp_path_factory):
    """A run in which two notebooks fail, and another ``python3`` lurks."""
    base = tmp_path_factory.mktemp("finished")
    sources = [
        [
            WRITE.format("01"),
            "import sys, os; print(sys.executable)",
            "print(os.environ['MPLBACKEND'])",
        ],
        [WRITE.format("02"), FAIL, "print('never')"],
        ["print(open(f'{RUN_DIR}/results/01.csv').read())"],
        ["1"],
        ["1", "import os; os._exit(3)", "2"],
    ]
    needs = [(), (), ("01",), ("02",), ()]
    paths = [
        write_notebook(base / "book", f"0{i}_{'abcde'[i - 1]}", *s, needs=n)
        for i, (s, n) in enumerate(zip(sources, needs, strict=True), 1)
    ]
    before = [path.read_bytes() for path in paths]
    spec = {"argv": ["/nowhere/python"], "display_name": "", "language": ""}
    (base / "kernels" / "python3").mkdir(parents=True)
    (base / "kernels" / "python3" / "kernel.json").write_text(json.dumps(spec))
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(base))
        patch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
        patch.setenv("MPLBACKEND", "agg")
        with contextlib.redirect_stdout(printed):
            where = {"notebooks_dir": base / "book", "runs_dir": base / "runs"}
            report = run("smoke", settings={"SEEDS": [3, 4]}, **where)
    assert [path.read_bytes() for path in paths] == before
    return SimpleNamespace(
        report=report, folder=report.folder, printed=printed.getvalue()
    )


def outputs_of(finished, name: str) -> list[str]:
    path = finished.folder / "notebooks" / f"{name}.ipynb"
    nb = nbformat.read(path, as_version=4)
    texts = [o.get("text", "") for c in nb.cells for o in c.get("outputs", [])]
    return [text.strip() for text in texts]


def test_run_says_what_became_of_each(finished):
    assert finished.report.exit_code == 1
    assert finished.report.status == {
        "01_a": "done",
        "02_b": "failed in code cell 3",
        "03_c": "done",
        "04_d": "skipped: the results of 02_b are missing",
        "05_e": "failed in code cell 3",
    }
    assert "[1/5] 01_a: running (missing)" in finished.printed
    assert "[1/5] 01_a: done, " in finished.printed
    assert "01_a: done" in (finished.folder / "log.txt").read_text()
    assert "after the repair: python -m" in summary(finished.report)


def test_failure_is_shown_with_its_traceback(finished):
    assert "02_b.ipynb failed in code cell 3:\n" in finished.printed
    assert "----> 3 broken()" in finished.printed
    assert "KeyError: 'no such thing'" in finished.printed
    assert "DeadKernelError" in finished.printed
    assert "\x1b" not in finished.printed


def test_only_finished_notebooks_leave_results(finished):
    assert names(finished.folder / "results") == ["01.csv"]
    executed = ["01_a.ipynb", "03_c.ipynb"]
    assert names(finished.folder / "notebooks") == executed
    assert names(finished.folder / "failed") == ["02_b.ipynb", "05_e.ipynb"]
    assert not (finished.folder / ".staging").exists()
    state = json.loads((finished.folder / "state.json").read_text())
    assert state["done"]["03_c"]["files"] == ["notebooks/03_c.ipynb"]


def test_parameters_interpreter_and_needed_results_reach_the_kernel(finished):
    text = outputs_of(finished, "01_a")
    assert text[:2] == ["smoke [3, 4]", sys.executable]
    assert "matplotlib_inline" in text[2]
    assert outputs_of(finished, "03_c") == ["01"]
    versions = json.loads((finished.folder / "versions.json").read_text())
    assert versions["papermill"]


# Going on with a run


def test_resume_runs_only_what_has_to(write, runner, no_kernel, monkeypatch):
    write("01_a")
    write("02_b", FAIL)
    write("03_c", needs=("01",))
    folder = runner("smoke", settings={"SEEDS": [1]}).folder
    with pytest.raises(Refused, match="add --resume"):
        runner("smoke", run_dir=folder)

    def resumed(**more):
        again = runner("smoke", resume=True, **more)
        assert again.folder == folder
        return [status[0] for status in again.status.values()]

    assert resumed() == ["k", "f", "k"]
    write("02_b")
    assert resumed() == ["k", "d", "k"]
    assert names(folder / "failed") == []
    assert resumed() == ["k", "k", "k"]
    # The settings of the run stay, as its executed notebooks show.
    assert "SEEDS = [1]" in (folder / "notebooks" / "02_b.ipynb").read_text()
    (folder / "results" / "02_b.csv").unlink()
    assert resumed() == ["k", "d", "k"]
    write("02_b", "other")
    assert resumed() == ["k", "d", "k"]
    assert names(folder / "results") == ["01_a.csv", "03_c.csv", "other.csv"]
    (folder / "notebooks" / "01_a.ipynb").unlink()
    assert resumed() == ["d", "k", "d"]
    assert resumed(settings={"SEEDS": [2]}) == ["d", "d", "d"]
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert resumed() == ["d", "d", "d"]
    monkeypatch.setattr(provenance, "versions", lambda: {"keras": "4"})
    assert resumed() == ["d", "d", "d"]
    monkeypatch.setattr(provenance, "code_digest", lambda: "other code")
    assert resumed(only=["03"]) == ["s"]
    assert resumed() == ["d", "d", "d"]


def test_publication_cut_short_is_redone(
    write, runner, no_kernel, monkeypatch, tmp_path
):
    write("01_a", "first")
    place, moved = RunFolder._place, []

    def once(self, *args):
        if moved:
            raise RuntimeError("killed")
        moved.append(place(self, *args))

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "_place", once)
        with pytest.raises(RuntimeError, match="killed"):
            runner("smoke")
    write("01_a", "second")
    report = runner("smoke", resume=True)
    assert report.status == {"01_a": "done"}
    assert names(report.folder / "results") == ["second.csv"]


def test_code_digest_follows_the_code(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setattr(provenance, "PUBLISHED_DIR", tmp_path)
    digest = provenance.code_digest.__wrapped__
    before = digest()
    assert digest() == before
    (tmp_path / "table.csv").write_text("value\n1\n")
    assert digest() != before


# Signals and other runners


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_stopped_run_leaves_nothing_half_done_and_goes_on(
    write, start, runner, no_kernel, tmp_path, number
):
    write("01_a", WRITE.format("01"))
    write("02_b", WRITE.format("02"), LONG)
    folder = tmp_path / "runs" / "mine"
    process = start("--profile", "smoke", "--run-dir", str(folder))
    pid = wait_for(lambda: list(folder.glob(".staging/*/kernel.pid")))[0]
    kernel = int(wait_for(pid.read_text))
    with pytest.raises(Refused, match="in use by another runner"):
        runner("smoke", run_dir=folder, resume=True)
    assert process.poll() is None
    process.send_signal(signal.Signals[number])
    output, _ = process.communicate(timeout=20)
    if number == "SIGKILL":
        wait_for(lambda: not psutil.pid_exists(kernel))
    else:
        assert process.returncode == 128 + signal.Signals[number], output
        again = "python -m helpers.run --resume --run-dir runs/mine"
        told = f"Interrupted by {number}; go on: {again}"
        assert output.splitlines()[-1] == told
        assert not psutil.pid_exists(kernel)
        assert not (folder / ".staging").exists()
    assert names(folder / "results") == ["01.csv"]
    assert names(folder / "notebooks") == ["01_a.ipynb"]
    report = runner(run_dir=folder, resume=True)
    assert report.status == {"01_a": "kept", "02_b": "done"}
    assert not (folder / ".staging").exists()


def test_two_runs_at_once_get_folders_of_their_own(write, start, tmp_path):
    write("01_a", WRITE.format("01"))
    both = [start("--profile", "smoke") for _ in range(2)]
    for process in both:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
    folders = list((tmp_path / "runs").iterdir())
    assert len(folders) == 2
    for folder in folders:
        assert (folder / "results" / "01.csv").read_text() == "01"


# The final print


def test_comparison_is_printed_compactly(tmp_path):
    paper = results.published("acne_table2")
    measured = paper.loc[paper.index.repeat(5)].assign(
        seed=[*range(5)] * len(paper)
    )
    table = results.compare(paper, measured, comparable=False)
    (tmp_path / "results").mkdir()
    table.to_csv(tmp_path / "results" / "03_comparison.csv", index=False)
    lines = summary(Report(tmp_path)).splitlines()
    rows = [line.split() for line in lines if "(Table 2)" in line]
    kept = table[(table["class"] == "") | (table.metric == "f1")]
    assert [row[2] for row in rows] == list(kept.metric)
    assert {row[1] for row in rows} == {"all", *paper["class"]} - {""}
    assert 0 < len(rows) < len(table)
    assert max(map(len, lines[-len(rows) :])) <= 110


# Refreshing the committed notebooks


def test_refresh_replaces_notebooks_and_figures(write, tmp_path):
    draw = "_ = open(f'{RUN_DIR}/figures/01_new.png', 'w')\n7"
    source = write("01_a", draw, "print(PROFILE)")
    figures = tmp_path / "figures"
    figures.mkdir()
    for name in ("01_old.png", "02_other.png"):
        (figures / name).write_bytes(b"old")
    where = (tmp_path / "notebooks", figures, tmp_path / "runs")
    assert refresh(None, *where).exit_code == 0
    nb = nbformat.read(source, as_version=4)
    nbformat.validate(nb)
    ids = ["title", "parameters", "cell-0", "cell-1"]
    assert [cell.id for cell in nb.cells] == ids
    assert [cell.execution_count for cell in nb.cells[1:]] == [1, 2, 3]
    assert nb.cells[2].outputs[0].execution_count == 2
    assert nb.cells[3].outputs[0].text == "quick\n"
    assert "papermill" not in source.read_text()
    assert str(tmp_path) not in source.read_text()
    assert names(figures) == ["01_new.png", "02_other.png"]
    once = source.read_bytes()
    refresh(None, *where)
    assert source.read_bytes() == once


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"name": "stderr", "text": "w"}, "cell 1 writes to stderr: w"),
        ({"text": "in /home/me/x"}, "cell 1 holds an absolute path: /home…"),
        ({"text": "<x at 0x7f00aa>"}, "cell 1 shows an object's address"),
        ({"output_type": "error"}, "cell 1 ends in an error"),
    ],
)
def test_what_cannot_be_shared_is_found(write, output, message):
    nb = nbformat.read(write("01_a"), as_version=4)
    assert list(blemishes(nb)) == []
    stream = {"output_type": "stream", "name": "stdout"} | output
    nb.cells[1].outputs = [nbformat.from_dict(stream)]
    (found,) = blemishes(nb)
    assert found.startswith(message)


@pytest.mark.parametrize("cell", [FAIL, "# /tmp/mine"])
def test_refresh_replaces_all_or_nothing(write, no_kernel, tmp_path, cell):
    sources = [write("01_a", "1"), write("02_b", cell)]
    before = [path.read_bytes() for path in sources]
    where = (tmp_path / "notebooks", tmp_path / "figures", tmp_path / "runs")
    refused = pytest.raises(Refused, match="02_b.ipynb: cell 2 .* path")
    with contextlib.nullcontext() if cell == FAIL else refused:
        assert refresh(None, *where).exit_code == 1
    assert [path.read_bytes() for path in sources] == before
