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

import nbformat
import numpy as np
import papermill
import psutil
import pytest
from PIL import Image

from helpers import data, paths
from helpers.papers import comparison
from helpers.paths import NOTEBOOKS_DIR
from helpers.run import summary
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
    ("only", "settings", "message"),
    [
        (["01", "07"], {"SEEDS": 1}, r"\['07'\]; there are 01_a, 02_b"),
        (None, {"SEED": 1}, r"SEED: no .* did you mean SEEDS\?"),
        (["01"], {"WIDTH": 1}, "WIDTH: no selected notebook"),
        (None, {"RUN_DIR": 1}, "RUN_DIR: no selected notebook"),
        (None, {"DATASET": 2020}, "DATASET: expected a text, got 2020"),
    ],
)
def test_wrong_names_are_refused_before_anything_starts(
    write, runner, tmp_path, only, settings, message
):
    write("01_a")
    write("02_b", parameters=DATA + "\nWIDTH = 1  # [0, 1], or None")
    with pytest.raises(Refused, match=message):
        runner("smoke", only, settings)
    assert names(tmp_path) == ["notebooks"]


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("A=[0, 1]", [0, 1]),
        ("A=None", None),
        ("A=acne5", "acne5"),
        ("A=1e-3", 0.001),
        ("A='3'", "3"),
        ("A=a=b", "a=b"),
        ("DATASET=2020_01", "2020_01"),
        ("WEIGHTS=None", None),
        ("BACKBONE='007'", "007"),
        ("REGIME=[odd", "[odd"),
        ("DATA_DIR=~/data", str(Path.home() / "data")),
    ],
)
def test_settings_are_literals_or_words_and_texts_stay_texts(pair, value):
    assert parse_settings([pair]) == {pair.split("=")[0]: value}


@pytest.mark.parametrize(
    "pair", ["A", "=3", "A=[0, 1", "A=true", "A={0: 1}", "A={1, 2}", "A=1,2"]
)
def test_bad_setting_is_refused(pair):
    with pytest.raises(Refused, match=re.escape(pair)):
        parse_settings([pair])


def test_the_runner_knows_the_notebooks_texts_and_data_sets():
    book = read_notebooks(NOTEBOOKS_DIR)
    named = {name for notebook in book for name in notebook.parameters}
    assert named >= TEXTS >= {"DATASET", "DATA_DIR", "PROFILE"}
    listed = {"SEEDS", "EPOCHS", "CLASSES", "METHODS_OF", "NETWORKS"}
    assert not TEXTS & listed
    for notebook in book:
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
    ("files", "message"),
    [
        ({"01_a": "PROFILE = 'quick'"}, "01_a.ipynb.*lacks {'RUN_DIR'}"),
        ({"01_a": "PROFILE = RUN_DIR = None"}, "01_a.ipynb.*lacks "),
        ({"01_a": "PROFILE = print(1)"}, r"not PROFILE = print\(1\)"),
        ({"01_a": None}, "01_a.ipynb cannot be used"),
        ({"01_a": DATA, "01_b": DATA}, "two notebooks bear the number 01"),
        ({"02_a": DATA}, r"02_a.ipynb needs \['01'\]"),
        ({}, "no notebooks"),
    ],
)
def test_unusable_notebooks_are_refused(write, tmp_path, files, message):
    for name, parameters in files.items():
        needs = ("01",) if name == "02_a" else ()
        path = write(name, parameters=parameters or "", needs=needs)
        if parameters is None:
            path.write_text("{")
    with pytest.raises(Refused, match=message):
        read_notebooks(tmp_path / "notebooks")


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
    shown = "import sys, os; print(sys.executable, os.environ['MPLBACKEND'])"
    sources = [
        [WRITE.format("01"), shown],
        [WRITE.format("02"), FAIL, "print('never')"],
        ["print(open(f'{RUN_DIR}/results/01.csv').read())"],
        ["1"],
        ["1", "import os; os._exit(3)", "2"],
    ]
    before = {}
    for number, cells in enumerate(sources, 1):
        needs = {3: ["01"], 4: ["02"]}.get(number, ())
        name = f"0{number}_{'abcde'[number - 1]}"
        path = write_notebook(base / "book", name, *cells, needs=needs)
        before[path] = path.read_bytes()
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
    assert {path: path.read_bytes() for path in before} == before
    return report, report.folder, printed.getvalue()


def test_run_says_what_became_of_each(finished):
    report, folder, printed = finished
    assert report.exit_code == 1
    assert report.status == {
        "01_a": "done",
        "02_b": "failed in code cell 3",
        "03_c": "done",
        "04_d": "skipped: the results of 02_b are missing",
        "05_e": "failed in code cell 3",
    }
    assert "[1/5] 01_a: running (missing)" in printed
    assert "[1/5] 01_a: done, " in printed
    assert "01_a: done" in (folder / "log.txt").read_text()
    assert "after the repair: python -m" in summary(report)
    assert "02_b.ipynb failed in code cell 3:\n" in printed
    assert "----> 3 broken()" in printed
    assert "KeyError: 'no such thing'" in printed
    assert "DeadKernelError" in printed
    assert "\x1b" not in printed


def test_only_finished_notebooks_leave_results(finished):
    _, folder, _ = finished
    assert names(folder / "results") == ["01.csv"]
    assert names(folder / "notebooks") == ["01_a.ipynb", "03_c.ipynb"]
    assert names(folder / "failed") == ["02_b.ipynb", "05_e.ipynb"]
    assert not (folder / ".staging").exists()
    state = json.loads((folder / "state.json").read_text())
    assert state["done"]["03_c"]["files"] == ["notebooks/03_c.ipynb"]
    versions = json.loads((folder / "versions.json").read_text())
    assert versions["papermill"]
    # Parameters, interpreter and needed results have reached the kernels.
    printed = []
    for path in sorted((folder / "notebooks").iterdir()):
        for cell in nbformat.read(path, as_version=4).cells:
            printed += [o.text.strip() for o in cell.get("outputs", [])]
    assert printed[0] == "smoke [3, 4]"
    assert printed[1].startswith(f"{sys.executable} module://matplotlib_in")
    assert printed[2] == "01"


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
    """Every helper decides it, in whatever folder it lies."""
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


def test_changed_images_are_not_kept(write, runner, no_kernel, tmp_path):
    write("01_a", parameters=DATA)
    write("02_b")
    home, weights = tmp_path / "data", tmp_path / "some.weights.h5"
    image = home / "mine" / "train" / "mild" / "2.jpg"
    image.parent.mkdir(parents=True)
    settings = {"DATASET": "mine", "DATA_DIR": str(home)}

    def rewritten():
        """Other bytes, as many of them, at the same time."""
        times = image.stat()
        image.write_bytes(b"TWO")
        os.utime(image, ns=(times.st_atime_ns, times.st_mtime_ns))

    moved = image.with_name("3.jpg")
    other, nested = {"DATASET": "other"}, {"NETWORKS": {"B1": str(weights)}}
    given = {"WEIGHTS": str(weights)}
    steps = [  # what is done, with which settings, and whether 01 runs again
        (lambda: image.with_name("1.jpg").write_bytes(b"one"), {}, "d"),
        (lambda: None, {}, "k"),
        (lambda: image.write_bytes(b"two"), {}, "d"),
        (rewritten, {}, "d"),
        (lambda: image.rename(moved), {}, "d"),
        (lambda: os.utime(moved), {}, "k"),
        (lambda: (home / "unrelated.jpg").write_bytes(b"1"), {}, "k"),
        (lambda: (home / "mine" / "loop").symlink_to(home / "mine"), {}, "k"),
        (lambda: None, other, "d"),
        (lambda: (home / "other.npz").write_bytes(b"arrays"), other, "d"),
        (lambda: weights.write_bytes(b"1"), other | given, "d"),
        (lambda: weights.write_bytes(b"2"), other | given, "d"),
        (lambda: None, other | nested, "d"),
        (lambda: weights.write_bytes(b"3"), other | nested, "d"),
    ]
    runner("smoke", settings=settings)
    for number, (change, more, expected) in enumerate(steps):
        change()
        report = runner("smoke", settings=settings | more, resume=True)
        said = [status[0] for status in report.status.values()]
        assert said == [expected, "k"], number


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


NAME = "03_comparison.csv"


def test_comparison_is_printed_compactly(tmp_path):
    paper = comparison.published("acne_table2")
    measured = paper.loc[paper.index.repeat(5)].assign(
        seed=[*range(5)] * len(paper)
    )
    table = comparison.compare(paper, measured, comparable=False)
    (tmp_path / "results").mkdir()
    table.to_csv(tmp_path / "results" / NAME, index=False)
    report = Report(tmp_path, {"03_x": "done"}, {"03_x": 1.0})
    lines = summary(report).splitlines()
    rows = [line.split() for line in lines if "(Table 2)" in line]
    kept = table[(table["class"] == "") | (table.metric == "f1")]
    assert [row[2] for row in rows] == list(kept.metric)
    assert {row[1] for row in rows} == {"all", *paper["class"]} - {""}
    assert 0 < len(rows) < len(table)
    assert max(map(len, lines[-len(rows) - 1 :])) <= 110
    assert lines[-1] == f"and {len(table) - len(rows)} more rows in {NAME}"


@pytest.mark.parametrize(
    ("statuses", "origin", "status", "shown"),
    [
        (["not measured", "not comparable", "within"], "drawn", "done", True),
        (["not measured"] * 2, "drawn", "done", False),
        (["not comparable"] * 2, comparison.OWN_FOLDER, "done", False),
        (["not comparable"] * 2, "drawn", "failed in code cell 3", False),
    ],
)
def test_the_summary_shows_what_was_measured_and_on_what(
    tmp_path, statuses, origin, status, shown
):
    """A comparison that says nothing is left out."""
    folder = tmp_path / "results"
    folder.mkdir()
    table = comparison.published("acne_table2").head(len(statuses))
    table = table.rename(columns={"value": "published"}).assign(
        status=statuses, mean=0.5, std=0.1, n=2, delta=0.1, low=0, high=1
    )
    table.to_csv(folder / NAME, index=False)
    facts = ["what,provenance", "name,mine", f"origin,{origin}"]
    facts += ["weights,imagenet", "backbone,EfficientNet-Lite1"]
    (folder / "03_provenance.csv").write_text("\n".join(facts))
    text = summary(Report(tmp_path, {"03_x": status}, {"03_x": 1.0}))
    heading = f"Paper vs measured, {NAME} (mine, EfficientNet-Lite1, imagenet)"
    assert (heading in text) is ("within" in text) is shown
    assert ("vs measured" in text) is shown
    assert "not measured" not in text


def test_own_images_are_told_by_their_origin(tmp_path):
    for name in ("mild", "severe"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for number in range(3):
            image = np.random.default_rng(number).integers(0, 255, (32, 32, 3))
            Image.fromarray(image.astype(np.uint8)).save(
                tmp_path / "mine" / name / f"{number}.png"
            )
    ds = data.load("mine", tmp_path, 32)
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
@pytest.mark.parametrize(("option", "status"), [("--help", 0), ("--ü", 2)])
def test_help_and_errors_come_without_utf8(module, option, status):
    command = [sys.executable, "-m", f"helpers.{module}", option]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, env=environment)
    assert done.returncode == status, done.stderr


def test_a_closed_pipe_does_not_end_a_run(write, start, tmp_path):
    write("01_a", WRITE.format("01"))
    process = start("--profile=smoke", "--run-dir=runs/a")
    process.stdout.close()
    process.stdout = None
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
