"""The headless runner on tiny notebooks, with real kernels and signals."""

import contextlib
import errno
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import papermill
import psutil
import pytest
from PIL import Image

from helpers import paths
from helpers.data import catalog as datasets
from helpers.papers import comparison
from helpers.paths import NOTEBOOKS_DIR
from helpers.run import main, summary
from helpers.runner import (
    Refused,
    Report,
    batch,
    blemishes,
    parse_settings,
    provenance,
    read_notebooks,
    run,
    run_in_place,
)
from helpers.runner import folder as folder_module
from helpers.runner.folder import RunFolder
from helpers.runner.notebooks import (
    ANY_FOLDER,
    KNOWN_SETS,
    TEXTS,
    check_settings,
    select,
)

DATA = """PROFILE = "quick"
DATASET = None
DATA_DIR = None
WEIGHTS = None
NETWORKS = None
RUN_DIR = None"""
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
            return 2, "KeyError"
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


def test_a_text_stays_a_text(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    pairs = ["DATASET=2020_01", "WEIGHTS=None", "BACKBONE='007'"]
    pairs += ["DATA_DIR=~/data", "REGIME=[odd", "SEEDS=[1]"]
    assert parse_settings(pairs) == {
        "DATASET": "2020_01",
        "WEIGHTS": None,
        "BACKBONE": "007",
        "DATA_DIR": str(tmp_path / "data"),
        "REGIME": "[odd",
        "SEEDS": [1],
    }


def test_texts_are_those_of_the_notebooks():
    """Every parameter whose value the book writes as a text is one."""
    named = {k for n in read_notebooks(NOTEBOOKS_DIR) for k in n.parameters}
    assert {"DATASET", "DATA_DIR", "PROFILE"} <= TEXTS & named
    listed = {"SEEDS", "EPOCHS", "CLASSES", "METHODS_OF", "NETWORKS"}
    assert not TEXTS & listed


def test_a_number_for_a_text_is_refused(write, runner):
    write("01_a", parameters=DATA)
    with pytest.raises(Refused, match="DATASET: expected a text, got 202001"):
        runner("smoke", settings={"DATASET": 202001})


def test_notebooks_name_data_sets_that_there_are():
    for notebook in read_notebooks(NOTEBOOKS_DIR):
        assert set(notebook.datasets) <= KNOWN_SETS | {ANY_FOLDER}


@pytest.mark.parametrize(
    "file", ["README.md", "data/README.md", "notebooks/00_start_here.ipynb"]
)
def test_commands_in_the_texts_are_accepted(file):
    """Those with notebooks and parameters, as a reader would copy them."""
    text = (paths.ROOT / file).read_text("utf-8")
    if file.endswith(".ipynb"):
        text = "\n".join(c.source for c in nbformat.reads(text, 4).cells)
    # The exercise on a misspelt parameter is about a refusal.
    text = text.replace("--set DATASETS=", "").replace("\\\n", " ")
    found = re.findall(r"helpers\.run\b([^`#\n]*--set[^`#\n]*)", text)
    found += re.findall(r'ARGS="([^"]*--set[^"]*)"', text)
    assert any("DATASET=acne5" in command for command in found)
    notebooks = read_notebooks(NOTEBOOKS_DIR)
    for command in found:
        words = shlex.split(command)
        options = dict(zip(words, words[1:], strict=False))
        only = options.get("--only")
        pairs = [b for a, b in pairwise(words) if a == "--set"]
        if "--study" not in options:
            chosen = select(notebooks, only and only.split(","))
            check_settings(parse_settings(pairs), chosen)


@pytest.mark.parametrize(
    ("only", "dataset", "message"),
    [
        (None, "acne5", r"02: digits, an image .* out by --only 01,03$"),
        (["02", "03"], "chula-rbc-12", r"02: digits.* --only 03$"),
        (["02"], "acne5", r"\(02: digits, an image folder of your own\)$"),
        (["03"], "mine", r"\(03: acne5, chula-rbc-12\)$"),
        (["02"], "mine", None),
        (["02"], "digits", None),
        (["01"], "acne5", None),
    ],
)
def test_a_data_set_that_a_notebook_cannot_take_is_refused(
    write, runner, no_kernel, only, dataset, message
):
    write("01_a", parameters=DATA)
    write("02_b", parameters=DATA, datasets=("digits", "*"))
    write("03_c", parameters=DATA, datasets=("acne5", "chula-rbc-12"))
    settings = {"DATASET": dataset}
    if message:
        with pytest.raises(Refused, match=message):
            runner("smoke", only, settings)
    else:
        assert runner("smoke", only, settings).exit_code == 0


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
        ("PROFILE = RUN_DIR = None", "01_a.ipynb.*lacks "),
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
    place, moved = RunFolder.place, []

    def once(self, *args):
        if moved:
            raise RuntimeError("killed")
        moved.append(place(self, *args))

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "place", once)
        with pytest.raises(RuntimeError, match="killed"):
            runner("smoke")
    write("01_a", "second")
    report = runner("smoke", resume=True)
    assert report.status == {"01_a": "done"}
    assert names(report.folder / "results") == ["second.csv"]


def test_code_digest_follows_the_code(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    digest = provenance.code_digest.__wrapped__
    seen = [digest()]
    for name in (
        "helpers/run.py",
        "helpers/inner/deeper/losses.py",
        "helpers/inner/table.json",
        "data/published/table.csv",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        for text in ("1", "2"):
            (tmp_path / name).write_text(text)
            assert digest() not in seen, name
            seen.append(digest())
    (tmp_path / "helpers" / "__pycache__").mkdir()
    (tmp_path / "helpers" / "__pycache__" / "run.pyc").write_text("compiled")
    (tmp_path / "README.md").write_text("text")
    assert digest() == seen[-1]


def test_the_digest_covers_every_helper_there_is(monkeypatch):
    """A helper's bytes decide it, in whatever folder the helper lies."""
    monkeypatch.undo()
    read = set()
    original = provenance._file_digest

    def noted(file, *known):
        read.add(file)
        return original(file, *known)

    monkeypatch.setattr(provenance, "_file_digest", noted)
    provenance.code_digest.__wrapped__()
    assert read >= set((paths.ROOT / "helpers").rglob("*.py"))


def test_changed_images_are_not_kept(write, runner, no_kernel, tmp_path):
    write("01_a", parameters=DATA)
    write("02_b")
    home = tmp_path / "data"
    images = home / "mine" / "train" / "mild"
    images.mkdir(parents=True)
    (images / "1.jpg").write_bytes(b"one")
    (home / "other.npz").write_bytes(b"arrays")
    settings = {"DATASET": "mine", "DATA_DIR": str(home)}

    def resumed(**more):
        more = {"settings": settings | more}
        status = runner("smoke", resume=True, **more).status
        return [text[0] for text in status.values()]

    runner("smoke", settings=settings)
    assert resumed() == ["k", "k"]
    (images / "2.jpg").write_bytes(b"two")
    assert resumed() == ["d", "k"]
    assert resumed() == ["k", "k"]
    times = (images / "2.jpg").stat()
    (images / "2.jpg").write_bytes(b"TWO")
    os.utime(images / "2.jpg", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert resumed() == ["d", "k"]
    (images / "2.jpg").rename(images / "3.jpg")
    assert resumed() == ["d", "k"]
    os.utime(images / "3.jpg")
    assert resumed() == ["k", "k"]
    (home / "unrelated").mkdir()
    (home / "unrelated" / "1.jpg").write_bytes(b"1")
    assert resumed() == ["k", "k"]
    (home / "mine" / "loop").symlink_to(home / "mine")
    assert resumed() == ["k", "k"]
    assert resumed(DATASET="other") == ["d", "k"]
    (home / "other.npz").write_bytes(b"other arrays")
    assert resumed(DATASET="other") == ["d", "k"]
    weights = tmp_path / "some.weights.h5"
    weights.write_bytes(b"1")
    nested = {"B1": str(weights)}
    assert resumed(DATASET="other", WEIGHTS=str(weights)) == ["d", "k"]
    weights.write_bytes(b"2")
    assert resumed(DATASET="other", WEIGHTS=str(weights)) == ["d", "k"]
    assert resumed(DATASET="other", NETWORKS=nested) == ["d", "k"]
    weights.write_bytes(b"3")
    assert resumed(DATASET="other", NETWORKS=nested) == ["d", "k"]


def test_real_sets_that_are_not_named_count_as_well(
    write, runner, no_kernel, tmp_path
):
    """Some notebooks look for the red cells in DATA_DIR by themselves."""
    write("07_a", parameters=DATA)
    cells = tmp_path / "data" / "chula-rbc-12" / "Label"
    cells.mkdir(parents=True)
    settings = {"DATA_DIR": str(tmp_path / "data")}
    runner("smoke", settings=settings)
    (cells / "1.txt").write_text("1 2 3")
    report = runner("smoke", resume=True)
    assert report.status == {"07_a": "done"}
    assert "data or weights changed" in (report.folder / "log.txt").read_text()


def test_a_folder_of_5000_files_is_looked_through_quickly(tmp_path):
    folder = tmp_path / "mine" / "mild"
    folder.mkdir(parents=True)
    for number in range(5000):
        (folder / f"{number}.jpg").write_bytes(b"%d" % number * 4000)
    settings = {"DATASET": "mine", "DATA_DIR": str(tmp_path)}
    begun = time.process_time()
    first = provenance.data_digest(settings, True)
    assert time.process_time() - begun < 10
    assert provenance.data_digest(settings, True) == first


def test_reference_results_count_where_they_are_read(
    write, runner, no_kernel, tmp_path, monkeypatch
):
    monkeypatch.setattr(paths, "MEASURED_DIR", tmp_path)
    write("01_a", "open('scores.csv')")
    write("02_b")
    (tmp_path / "scores.csv").write_text("1")
    runner("smoke")
    (tmp_path / "scores.csv").write_text("2")
    status = runner("smoke", resume=True).status
    assert status == {"01_a": "done", "02_b": "kept"}


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
    paper = comparison.published("acne_table2")
    measured = paper.loc[paper.index.repeat(5)].assign(
        seed=[*range(5)] * len(paper)
    )
    table = comparison.compare(paper, measured, comparable=False)
    (tmp_path / "results").mkdir()
    table.to_csv(tmp_path / "results" / "03_comparison.csv", index=False)
    report = Report(tmp_path, {"03_x": "done"}, {"03_x": 1.0})
    lines = summary(report).splitlines()
    rows = [line.split() for line in lines if "(Table 2)" in line]
    kept = table[(table["class"] == "") | (table.metric == "f1")]
    assert [row[2] for row in rows] == list(kept.metric)
    assert {row[1] for row in rows} == {"all", *paper["class"]} - {""}
    assert 0 < len(rows) < len(table)
    assert max(map(len, lines[-len(rows) - 1 :])) <= 110
    assert lines[-1] == f"and {len(table) - len(rows)} more rows in {NAME}"


NAME = "03_comparison.csv"


@pytest.fixture
def compared(tmp_path):
    """Write a comparison and its provenance; returns the run's summary."""
    (tmp_path / "results").mkdir()

    def write(statuses, origin, status="done"):
        table = comparison.published("acne_table2").head(len(statuses))
        table = table.assign(mean=0.5, std=0.1, n=2, delta=0.1, low=0, high=1)
        table = table.rename(columns={"value": "published"})
        table.assign(status=statuses).to_csv(
            tmp_path / "results" / NAME, index=False
        )
        facts = {"name": "mine", "origin": origin, "weights": "imagenet"}
        facts |= {"backbone": "EfficientNet-Lite1"}
        (tmp_path / "results" / "03_provenance.csv").write_text(
            "what,provenance\n"
            + "".join(f"{k},{v}\n" for k, v in facts.items())
        )
        return summary(Report(tmp_path, {"03_x": status}, {"03_x": 1.0}))

    return write


def test_the_summary_shows_what_was_measured_and_on_what(compared):
    text = compared(["not measured", "not comparable", "within"], "drawn")
    heading = "(mine, EfficientNet-Lite1, imagenet):"
    assert f"Paper vs measured, {NAME} {heading}" in text
    assert "not measured" not in text
    assert "within" in text


@pytest.mark.parametrize(
    ("statuses", "origin", "status"),
    [
        (["not measured"] * 2, "drawn", "done"),
        (["not comparable"] * 2, comparison.OWN_FOLDER, "done"),
        (["not comparable"] * 2, "drawn", "failed in code cell 3"),
    ],
)
def test_the_summary_leaves_out_what_says_nothing(
    compared, statuses, origin, status
):
    assert "vs measured" not in compared(statuses, origin, status)


def test_own_images_are_told_by_their_origin(tmp_path):
    for name in ("mild", "severe"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for number in range(3):
            image = np.random.default_rng(number).integers(0, 255, (32, 32, 3))
            Image.fromarray(image.astype(np.uint8)).save(
                tmp_path / "mine" / name / f"{number}.png"
            )
    ds = datasets.load("mine", tmp_path, 32)
    assert ds.provenance["origin"] == comparison.OWN_FOLDER


# A terminal that cannot print everything


@pytest.mark.parametrize("sound", [True, False])
def test_a_terminal_without_utf8_does_not_end_a_run(
    write, start, tmp_path, monkeypatch, sound
):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    write("01_a", "print('Δ')" if sound else "raise ValueError('Δ')")
    write("02_b", WRITE.format("02"))
    process = start("--profile", "smoke", "--run-dir", "runs/mine_ü")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == int(not sound), output
    assert "02_b: done" in output
    assert (r"ValueError: \u0394" in output) is not sound
    log = (tmp_path / "runs" / "mine_ü" / "log.txt").read_text("utf-8")
    assert ("ValueError: Δ" in log) is not sound


@pytest.mark.parametrize("module", ["run", "data.download"])
def test_help_and_errors_come_without_utf8(module):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    for options, status in (["--help"], 0), (["--ü"], 2):
        done = subprocess.run(
            [sys.executable, "-m", f"helpers.{module}", *options],
            capture_output=True,
            text=True,
            env=environment,
        )
        assert done.returncode == status, done.stderr


def test_a_closed_pipe_does_not_end_a_run(write, tmp_path):
    write("01_a", WRITE.format("01"))
    code = """import sys; from pathlib import Path; from helpers import run
sys.exit(run.main(sys.argv[1:], Path("notebooks"), Path("runs")))"""
    with subprocess.Popen(
        [sys.executable, "-c", code, "--profile=smoke", "--run-dir=runs/a"],
        stdout=subprocess.PIPE,
        cwd=tmp_path,
    ) as process:
        process.stdout.close()
        assert process.wait(60) == 0
    assert (tmp_path / "runs" / "a" / "results" / "01.csv").is_file()


def test_a_disk_without_locks_is_told_in_a_sentence(
    write, runner, tmp_path, monkeypatch
):
    write("01_a")

    def unable(self, **options):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(folder_module.FileLock, "acquire", unable)
    with pytest.raises(Refused, match="No locks available.* --run-dir"):
        runner("smoke", run_dir=tmp_path / "runs" / "mine")


# Refreshing the committed notebooks


def test_refresh_replaces_notebooks_and_figures(write, tmp_path):
    draw = "_ = open(f'{RUN_DIR}/figures/01_new.png', 'w')\n7"
    source = write("01_a", draw, "print(PROFILE)")
    figures = tmp_path / "figures"
    figures.mkdir()
    for name in ("01_old.png", "02_other.png"):
        (figures / name).write_bytes(b"old")
    where = (tmp_path / "notebooks", tmp_path / "runs", figures)
    assert run_in_place(None, *where).exit_code == 0
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
    run_in_place(None, *where)
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
    where = (tmp_path / "notebooks", tmp_path / "runs", tmp_path / "figures")
    refused = pytest.raises(Refused, match="02_b.ipynb: cell 2 .* path")
    with contextlib.nullcontext() if cell == FAIL else refused:
        assert run_in_place(None, *where).exit_code == 1
    assert [path.read_bytes() for path in sources] == before
