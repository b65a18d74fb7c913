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
import psutil
import pytest
from papermill.iorw import LocalHandler

from helpers import paths
from helpers.data import download
from helpers.models.weights import PACKAGED
from helpers.paths import NOTEBOOKS_DIR
from helpers.run import main, summary
from helpers.runner import (
    Refused,
    Report,
    batch,
    blemishes,
    folder,
    read_notebooks,
    run,
    run_in_place,
)
from helpers.runner.folder import RunFolder, made_of, new_folder
from helpers.runner.kernel import Interrupted, stop_signals
from helpers.runner.notebooks import (
    ANY_FOLDER,
    KNOWN_SETS,
    check_settings,
    parse_settings,
    select,
)
from helpers.session import say

DATA = """PROFILE = "quick"
DATASET: str = None
DATA_DIR = None
WEIGHTS: str = None
NETWORKS = None
RUN_DIR = None"""
WRITE = """from pathlib import Path
made = Path(RUN_DIR, "results")
made.mkdir(exist_ok=True)
(made / "{0}.csv").write_text("{0}")
print(PROFILE, SEEDS)"""
READ = """from pathlib import Path
from helpers.session import Workspace
there = Workspace("01", PROFILE, Path(RUN_DIR))
texts = [path.read_text() for path in there.run_results.glob("02_*.csv")]
(there.results / "copy.csv").write_text("".join(texts))"""
FAIL = """def broken():
    raise KeyError("no such thing")
broken()"""
LONG = """import os, time
Path(RUN_DIR, "kernel.pid").write_text(str(os.getpid()))
(made / "half.csv").write_text("half")
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


# What is refused, before anything starts


@pytest.mark.parametrize(
    ("only", "settings", "message"),
    [
        (["01", "07"], {"SEEDS": 1}, r"\['07'\]; there are 01_a, 02_b"),
        (None, {"SEED": 1}, r"SEED: no .* did you mean SEEDS\?"),
        (["01"], {"WIDTH": 1}, "WIDTH: no selected notebook"),
        (None, {"RUN_DIR": 1}, "RUN_DIR: the runner has --run-dir for it"),
        (None, {"DATASET": 2020}, "DATASET: expected a text, got 2020"),
        (None, {"DATASET": ["a"]}, r"DATASET: expected a text, got \['a'\]"),
    ],
)
def test_wrong_names_are_refused_before_anything_starts(
    write, tmp_path, only, settings, message
):
    write("01_a")
    write("02_b", parameters=DATA + "\nWIDTH = 1  # [0, 1], or None")
    with pytest.raises(Refused, match=message):
        run("smoke", only, settings)
    assert names(paths.RUNS_DIR) == []


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
        ("GROUPS=['own', 'patient']", ["own", "patient"]),
        (r"GROUPS=([a-z]\d)_", r"([a-z]\d)_"),
        ("DATA_DIR=~/data", str(Path.home() / "data")),
        *((bad, Refused) for bad in ("A", "=3", "A=[0, 1", "A=true")),
        *((bad, Refused) for bad in ("A={0: 1}", "A={1, 2}", "A=1,2")),
    ],
)
def test_settings_are_literals_or_words_and_texts_stay_texts(pair, value):
    there = read_notebooks(NOTEBOOKS_DIR)
    if value is Refused:
        with pytest.raises(Refused, match=re.escape(pair)):
            parse_settings([pair], there)
    else:
        read = parse_settings([pair], there)
        assert read == ({pair.split("=")[0]: value}, {})


def test_the_runner_knows_the_notebooks_data_sets():
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
    text = text.replace("--set DATA=acne5", "").replace("\\\n", " ")
    commands = re.findall(r"helpers\.run\b([^`#\n]*--set[^`#\n]*)", text)
    commands += re.findall(r'ARGS="([^"]*--set[^"]*)"', text)
    assert any("DATASET=acne5" in command for command in commands)
    notebooks = read_notebooks(NOTEBOOKS_DIR)
    for command in commands:
        words = shlex.split(command)
        options = dict(zip(words, words[1:], strict=False))
        only = options.get("--only")
        pairs = [b for a, b in pairwise(words) if a == "--set"]
        if "--study" not in options:
            chosen = select(notebooks, only and only.split(","))
            check_settings(parse_settings(pairs, notebooks)[0], chosen)


@pytest.mark.parametrize(
    ("only", "dataset", "message"),
    [
        (None, "acne5", r"02: digits, an image .* out by --only 01,03$"),
        (["02", "03"], "chula-rbc-12", r"02: digits.* --only 03$"),
        (["02"], "acne5", r"\(02: digits, an image folder\)$"),
        (["03"], "mine", r"\(03: acne5, chula-rbc-12\)$"),
        (["02"], "mine", None),
        (["02"], "digits", None),
        (["01"], "acne5", None),
    ],
)
def test_a_data_set_that_a_notebook_cannot_take_is_refused(
    write, tmp_path, only, dataset, message
):
    write("01_a", parameters=DATA)
    write("02_b", parameters=DATA, datasets=("digits", "*"))
    write("03_c", parameters=DATA, datasets=("acne5", "chula-rbc-12"))
    chosen = select(read_notebooks(tmp_path / "notebooks"), only)
    refused = pytest.raises(Refused, match=message)
    with refused if message else contextlib.nullcontext():
        check_settings({"DATASET": dataset}, chosen)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"01_a": "PROFILE = 'quick'"}, "01_a.ipynb.*lacks {'RUN_DIR'}"),
        ({"01_a": "PROFILE = RUN_DIR = None"}, "01_a.ipynb.*lacks "),
        ({"01_a": "PROFILE = print(1)"}, "01_a.ipynb cannot be used"),
        ({"01_a": None}, "01_a.ipynb cannot be used"),
        ({"01_a": DATA, "01_b": DATA}, "two notebooks bear the number 01"),
        ({}, "no notebooks"),
    ],
)
def test_unusable_notebooks_are_refused(write, tmp_path, files, message):
    for name, parameters in files.items():
        path = write(name, parameters=parameters or "")
        if parameters is None:
            path.write_text("{")
    with pytest.raises(Refused, match=message):
        read_notebooks(tmp_path / "notebooks")


def test_a_folder_that_cannot_be_used_is_refused(write, tmp_path, monkeypatch):
    source = write("01_a")
    with pytest.raises(Refused, match="other files"):
        run("smoke", run_dir=source.parent)
    assert names(source.parent) == [source.name]

    def unable(self, **options):
        raise OSError(errno.ENOLCK, "No locks available")

    mine = tmp_path / "runs" / "mine"
    with pytest.raises(Refused, match="no run that --resume could go on"):
        run("smoke", run_dir=mine, resume=True)
    with pytest.raises(Refused, match="Not a directory.* --run-dir"):
        run("smoke", run_dir=source / "mine")
    with pytest.raises(Refused, match="File exists.* --run-dir"):
        run("smoke", run_dir=source)
    monkeypatch.setattr(folder.FileLock, "acquire", unable)
    with pytest.raises(Refused, match="No locks available.* --run-dir"):
        run("smoke", run_dir=mine)

    def read_only(self, *args, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", read_only)
    for place in (None, mine.with_name("other")):
        with pytest.raises(Refused, match="Read-only file .* --run-dir"):
            run("smoke", run_dir=place)


def test_a_full_disk_is_named_and_the_others_go_on(
    write, monkeypatch, tmp_path
):
    """What papermill writes is cut short, then what the runner writes."""
    write("01_a", "'" + 1000 * "x" + "'")
    write("02_b", WRITE.format("02"))
    whole = LocalHandler.write

    def half(self, text, path):
        if "01_a" not in path or len(text) < 4000:
            return whole(self, text, path)
        whole(self, text[:1000], path)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LocalHandler, "write", half)
    report = run("smoke")
    failed = (
        "failed: 01_a.ipynb could not be read or written: .* No space left"
    )
    assert re.match(failed, report.status["01_a"])
    assert report.status["02_b"] == "done"
    assert names(report.folder / "failed") == ["01_a.ipynb"]
    assert "--resume --run-dir" in summary(report)

    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(LocalHandler, "write", whole)
    publish = RunFolder.publish

    def publish_full(self, name, *args):
        if name == "01_a":
            patch.setattr(paths, "atomic_write", full)
        publish(self, name, *args)

    write("02_b", WRITE.format("02"), "# changed")
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "publish", publish_full)
        report = run("smoke", resume=True)
        for status in report.status.values():
            assert re.match("failed: OSError: .* No space left", status)
        with pytest.raises(Refused, match="cannot be .*No space left"):
            run("smoke", resume=True)
    report = run("smoke", resume=True)
    assert {*report.status.values()} == {"done"}


# One run with kernels


def test_run_says_what_became_of_each(write, tmp_path, monkeypatch):
    """Some notebooks fail, another ``python3`` lurks, stdout is not UTF-8."""
    shown = "import sys, os; print(sys.executable, os.environ['MPLBACKEND'])"
    sources = [
        write("01_a", WRITE.format("01"), shown),
        write("02_b", "raise ValueError('Δ')", "print('never')"),
        write("03_c", "1", "import os; os._exit(3)", "2"),
        write("04_d", "import os; os.kill(os.getpid(), 9)"),
        write("05_e", "import time", "time.sleep(60)"),
        write("06_f", WRITE.format("06")),
    ]
    before = [path.read_bytes() for path in sources]
    spec = {"argv": ["/nowhere/python"], "display_name": "", "language": ""}
    (tmp_path / "kernels" / "python3").mkdir(parents=True)
    (tmp_path / "kernels" / "python3" / "kernel.json").write_text(
        json.dumps(spec)
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    monkeypatch.setenv("MPLBACKEND", "agg")
    terminal = io.TextIOWrapper(io.BytesIO(), "ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", terminal)
    place = tmp_path / "runs" / "mine_ü"
    options = ["--profile=smoke", "--set=SEEDS=[3, 4]", f"--run-dir={place}"]
    options += ["--timeout=3"]
    assert main(options) == 1
    assert [path.read_bytes() for path in sources] == before
    printed = terminal.buffer.getvalue().decode("ascii")
    for line in (
        "[1/6] 01_a: running (missing)",
        "[1/6] 01_a: done, ",
        "02_b failed in code cell 2:\n",
        "----> 1 raise ValueError(",
        r"ValueError: \u0394",
        r"02_b: failed in code cell 2: ValueError: \u0394",
        "03_c: failed in code cell 3: its kernel died: the process ended"
        " itself with exit status 3\n",
        "04_d: failed in code cell 2: its kernel died: killed by SIGKILL,",
        "05_e: failed in code cell 3: it took longer than the 3 s of --time",
        "; 6 ended, 4 failed\n",
        "after the repair: python -m",
    ):
        assert line in printed
    assert "\x1b" not in printed
    log = (place / "log.txt").read_text("utf-8")
    assert "01_a: done" in log and "ValueError: Δ" in log
    # Only a finished notebook leaves results.
    assert names(place / "results") == ["01.csv", "06.csv"]
    assert names(place / "notebooks") == ["01_a.ipynb", "06_f.ipynb"]
    assert [name[:2] for name in names(place / "failed")] == [
        *("02", "03", "04", "05")
    ]
    assert not (place / ".staging").exists()
    state = json.loads((place / "state.json").read_text())
    files = ["notebooks/01_a.ipynb", "results/01.csv"]
    assert state["done"]["01_a"]["files"] == files
    assert json.loads((place / "versions.json").read_text())["papermill"]
    # Parameters and interpreter have reached the kernel.
    nb = nbformat.read(place / "notebooks" / "01_a.ipynb", as_version=4)
    texts = [o.text.strip() for c in nb.cells for o in c.get("outputs", [])]
    assert texts[0] == "smoke [3, 4]"
    assert texts[1].startswith(f"{sys.executable} module://matplotlib_in")


# Going on with a run


def test_none_keeps_the_notebooks_value():
    notebook = read_notebooks(NOTEBOOKS_DIR)[0]
    made = made_of(notebook, {"SEEDS": None, "DATASET": "digits"})
    assert made["parameters"] == {"DATASET": "digits"}


def test_resume_runs_only_what_has_to(write, no_kernel, monkeypatch, tmp_path):
    write("01_a", WRITE.format("one"))
    write("02_b", FAIL)
    mine = run("smoke", settings={"SEEDS": [1]}).folder
    with pytest.raises(Refused, match="add --resume"):
        run("smoke", run_dir=mine)

    def resumed(**more):
        again = run("smoke", resume=True, **more)
        assert again.folder == mine
        return "".join(status[0] for status in again.status.values())

    assert resumed() == "kf"
    write("02_b", WRITE.format("two"))
    assert resumed() == "kd"
    assert names(mine / "failed") == []
    assert resumed() == "kk"
    # The settings of the run stay, as its executed notebooks show.
    assert "SEEDS = [1]" in (mine / "notebooks" / "02_b.ipynb").read_text()
    (mine / "results" / "two.csv").unlink()
    assert resumed() == "kd"
    write("02_b", WRITE.format("other"))
    assert resumed() == "kd"
    assert names(mine / "results") == ["one.csv", "other.csv"]
    assert resumed(settings={"SEEDS": [2]}) == "dd"
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert resumed(only=["01"]) == "d"
    assert resumed() == "kd"
    monkeypatch.setattr(folder, "versions", lambda: {"keras": "4"})
    assert resumed() == "dd"
    monkeypatch.setattr(folder, "code_digest", lambda: "other code")
    assert resumed() == "dd"
    # Reference results count where they are read.
    monkeypatch.setattr(paths, "MEASURED_DIR", tmp_path)
    write("01_a", "'scores.csv'")
    (tmp_path / "scores.csv").write_text("1")
    assert resumed() == "dk"
    (tmp_path / "scores.csv").write_text("2")
    assert resumed() == "dk"


def test_what_reads_results_runs_last_and_again_when_they_change(
    write, no_kernel
):
    write("01_a", READ, after=["02"])
    write("02_b", WRITE.format("02_one"))
    report = run("smoke")
    assert report.exit_code == 0
    copy = report.folder / "results" / "copy.csv"
    assert copy.read_text() == "02_one"
    more = {"run_dir": report.folder, "resume": True}
    assert [*run(**more).status.values()] == ["kept", "kept"]
    write("02_b", WRITE.format("02_two"))
    assert [*run(**more).status.values()] == ["done", "done"]
    assert copy.read_text() == "02_two"
    # Alone, it takes what is there.
    assert [*run("smoke", ["01"]).status.values()] == ["done"]


def test_publication_cut_short_is_redone(write, no_kernel, monkeypatch):
    write("01_a", WRITE.format("first"))
    place, moved = RunFolder.place, []

    def once(self, *args):
        if moved:
            raise RuntimeError("killed")
        moved.append(place(self, *args))

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "place", once)
        with pytest.raises(RuntimeError, match="killed"):
            run("smoke")
    write("01_a", WRITE.format("second"))
    report = run("smoke", resume=True)
    assert report.status == {"01_a": "done"}
    assert names(report.folder / "results") == ["second.csv"]


def test_code_digest_follows_the_code(monkeypatch, tmp_path):
    """Every helper decides it, in whatever folder it lies."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    digest = folder.code_digest.__wrapped__
    seen = [digest()]
    for name in ("helpers/inner/deeper/losses.py", "data/published/table.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        for text in ("1", "2"):
            (tmp_path / name).write_text(text)
            assert digest() not in seen, name
            seen.append(digest())
    (tmp_path / "helpers" / "__pycache__").mkdir()
    (tmp_path / "helpers" / "__pycache__" / "run.pyc").write_text("compiled")
    (tmp_path / "README.md").write_text("text")
    assert digest() == seen[-1]


def test_changed_data_and_weights_are_not_kept(
    write, no_kernel, tmp_path, monkeypatch
):
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

    moved, cells = image.with_name("3.jpg"), home / "chula-rbc-12" / "1.txt"
    cells.parent.mkdir()
    other, nested = {"DATASET": "other"}, {"NETWORKS": {"B1": str(weights)}}
    given, unnamed = {"WEIGHTS": str(weights)}, {"DATASET": None}
    homely, packaged = {"WEIGHTS": f"~/{weights.name}"}, {"NETWORKS": ["Net"]}
    package = tmp_path / "some_weights" / "net.pth"
    package.parent.mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(folder.PACKAGES, "Net", package.parent.name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
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
        # Some notebooks look for the red cells in DATA_DIR by themselves.
        (lambda: None, nested | unnamed, "d"),
        (lambda: cells.write_text("1 2 3"), nested | unnamed, "d"),
        # Weights below the home folder, and those of a package.
        (lambda: None, homely, "d"),
        (lambda: weights.write_bytes(b"4"), homely, "d"),
        (lambda: None, packaged, "d"),
        (lambda: package.write_bytes(b"1"), packaged, "d"),
        (lambda: None, packaged, "k"),
        (lambda: package.write_bytes(b"2"), packaged, "d"),
    ]
    report = run("smoke", settings=settings)
    for number, (change, more, expected) in enumerate(steps):
        change()
        report = run("smoke", settings=settings | more, resume=True)
        statuses = [status[0] for status in report.status.values()]
        assert statuses == [expected, "k"], number
    assert "data or weights changed" in (report.folder / "log.txt").read_text()


def test_packages_of_weights_are_those_that_are_read():
    known = {name: entry.package for name, entry in PACKAGED.items()}
    assert known == folder.PACKAGES


# Signals and other runners


@pytest.mark.parametrize("number", ["SIGINT", "SIGKILL"])
def test_stopped_run_leaves_nothing_half_done_and_goes_on(
    write, tmp_path, number, request
):
    write("01_a", WRITE.format("01"))
    write("02_b", WRITE.format("02"), LONG)
    mine = tmp_path / "runs" / "mine"
    code = """import sys; from pathlib import Path; from helpers import run
from helpers import paths; from helpers.runner import folder
folder.code_digest = lambda: "settled"
paths.NOTEBOOKS_DIR, paths.RUNS_DIR = Path("notebooks"), Path("runs")
sys.exit(run.main(sys.argv[1:]))"""
    command = [sys.executable, "-c", code, "--profile", "smoke"]
    process = subprocess.Popen(
        [*command, "--run-dir", str(mine)],
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    request.addfinalizer(process.kill)
    pid = wait_for(lambda: list(mine.glob(".staging/*/kernel.pid")))[0]
    kernel = int(wait_for(pid.read_text))
    with pytest.raises(Refused, match="in use by another runner"):
        run("smoke", run_dir=mine, resume=True)
    assert process.poll() is None
    process.send_signal(signal.Signals[number])
    output, _ = process.communicate(timeout=20)
    if number == "SIGKILL":
        wait_for(lambda: not psutil.pid_exists(kernel))
    else:
        assert process.returncode == 128 + signal.Signals[number], output
        again = "python -m helpers.run --profile smoke"
        again += " --resume --run-dir runs/mine"
        last = f"Interrupted by {number}; go on: {again}"
        assert output.splitlines()[-1] == last
        assert not psutil.pid_exists(kernel)
        assert not (mine / ".staging").exists()
    assert names(mine / "results") == ["01.csv"]
    assert names(mine / "notebooks") == ["01_a.ipynb"]
    request.getfixturevalue("no_kernel")
    write("02_b", WRITE.format("02"))
    report = run(run_dir=mine, resume=True)
    assert report.status == {"01_a": "kept", "02_b": "done"}
    assert not (mine / ".staging").exists()


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_runner_still_starts(number):
    command = [sys.executable, "-X", "importtime", "-m", "helpers.run"]
    command += ["--only", "none"]  # it would be refused
    with subprocess.Popen(
        command, cwd=paths.ROOT, text=True, stderr=subprocess.PIPE
    ) as process:
        while "argparse" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(number)
        last = process.stderr.read().splitlines()[-1]
    assert process.returncode == 128 + number
    assert last == f"Interrupted by {number.name}; no notebook was running"


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_hang_up_that_is_ignored_stays_so(request):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    request.addfinalizer(lambda: signal.signal(signal.SIGHUP, before))
    with stop_signals() as came:
        os.kill(os.getpid(), signal.SIGHUP)
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
    assert came == [signal.SIGTERM]


def test_two_runs_at_once_get_folders_of_their_own(places):
    assert len({new_folder("smoke") for _ in range(2)}) == 2


# The final print


@pytest.mark.parametrize("done", ["done", "kept", "failed in code cell 3"])
def test_the_summary_ends_with_the_table_of_notebook_11(tmp_path, done):
    (tmp_path / "results").mkdir()
    table = tmp_path / "results" / "11_scorecard_counts.csv"
    cell = batch.Cell(1, "11_scorecard", None, None, [], status=done)
    report = Report(tmp_path, cells=[cell])
    nothing = summary(report)
    table.write_text("paper,within\nacne,3\n")
    more = summary(report).removeprefix(nothing)
    shown = "by verdict\npaper  within\n acne       3\nmore in" in more
    assert shown is not done.startswith("failed") and shown is bool(more)


# A terminal that cannot print everything


@pytest.mark.parametrize("command", [main, download.main])
@pytest.mark.parametrize(("option", "status"), [("--help", 0), ("--ü", 2)])
def test_help_and_errors_come_without_utf8(
    monkeypatch, command, option, status
):
    for name in ("stdout", "stderr"):
        terminal = io.TextIOWrapper(io.BytesIO(), "ascii")
        monkeypatch.setattr(sys, name, terminal)
    with pytest.raises(SystemExit) as stop:
        command([option])
    assert stop.value.code == status


def test_a_closed_pipe_does_not_end_a_run():
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stream:
        say("nobody reads this", stream)
        say("nor this", stream)


# Refreshing the committed notebooks


def test_refresh_replaces_notebooks_and_figures(write, tmp_path):
    draw = "_ = open(f'{RUN_DIR}/figures/01_new.png', 'w')\n7"
    slider = "import ipywidgets\nipywidgets.IntSlider()"
    source = write("01_a", draw, "print(PROFILE)", slider)
    figures = paths.FIGURES_DIR
    for name in ("01_old.png", "02_other.png"):
        (figures / name).write_bytes(b"old")
    assert run_in_place().exit_code == 0
    nb = nbformat.read(source, as_version=4)
    nbformat.validate(nb)
    ids = ["title", "parameters", "cell-0", "cell-1", "cell-2"]
    assert [cell.id for cell in nb.cells] == ids
    assert [cell.execution_count for cell in nb.cells[1:]] == [1, 2, 3, 4]
    assert nb.cells[2].outputs[0].execution_count == 2
    assert nb.cells[3].outputs[0].text == "quick\n"
    assert nb.cells[4].outputs == []  # a widget is dead without its kernel
    assert "papermill" not in source.read_text()
    assert str(tmp_path) not in source.read_text()
    assert names(figures) == ["01_new.png", "02_other.png"]
    once = source.read_bytes()
    run_in_place()
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
    (wrong,) = blemishes(nb)
    assert wrong.startswith(message)


@pytest.mark.parametrize("cell", [FAIL, "# /tmp/mine"])
def test_refresh_replaces_all_or_nothing(write, no_kernel, tmp_path, cell):
    sources = [write("01_a", "1"), write("02_b", cell)]
    before = [path.read_bytes() for path in sources]
    refused = pytest.raises(Refused, match="02_b.ipynb: cell 2 .* path")
    with contextlib.nullcontext() if cell == FAIL else refused:
        assert run_in_place().exit_code == 1
    assert [path.read_bytes() for path in sources] == before
