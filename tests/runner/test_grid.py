"""Grids: what they run, and several at a time what a serial run gives."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from types import SimpleNamespace

import pandas as pd
import psutil
import pytest
from distributed import Client, LocalCluster

from helpers import paths
from helpers.runner import Refused, batch, kernel, parse_settings, run, workers
from helpers.runner.kernel import KILLED
from helpers.runner.workers import Here, gpus

PARAMETERS = """PROFILE = "quick"
SEEDS: list[int] = ([0], [0, 1], None)
WIDTH = 1
RUN_DIR = None"""
SCORES = """import os
from pathlib import Path
seeds = SEEDS if isinstance(SEEDS, list) else SEEDS[0]
rows = "".join(f"f1,{WIDTH + seed},{seed}\\n" for seed in seeds)
table = Path(RUN_DIR, "results", "NN_scores.csv")
table.write_text("metric,value,seed\\n" + rows)
facts = "what,it\\ndata,same\\n"
_ = table.with_name("NN_provenance.csv").write_text(facts)
gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "")
_ = table.with_name("NN_gpu.txt").write_text(gpu)"""
DIE_ONCE = """
mark = Path(RUN_DIR).parents[3] / "killed"
if WIDTH == 1 and not mark.exists():
    mark.write_text("in mid-cell")
    os.kill(os.getpid(), 9)"""
GRID = {"WIDTH": [1, 2, 3], "SEEDS": [0, 1]}


@pytest.fixture
def book(write):
    """Two notebooks with the same parameters."""
    for number in ("01", "02"):
        source = SCORES.replace("NN", number)
        write(f"{number}_a", source, parameters=PARAMETERS)


def tables(run_dir):
    """The tables of a finished grid by name."""
    files = [run_dir / "grid.csv", *(run_dir / "results").glob("*.csv")]
    return {file.name: file.read_text() for file in files}


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_grid_of_two_jobs_equals_a_serial_one(
    book, write, tmp_path, no_kernel, request
):
    """Interrupted and resumed, and with a kernel killed in mid-cell."""
    serial = run("smoke", grid=GRID)
    assert serial.exit_code == 0 and len(serial.status) == 12
    made = tables(serial.folder)
    scores = pd.read_csv(serial.folder / "results" / "02_scores.csv")
    assert scores["WIDTH"].tolist() == [1, 1, 2, 2, 3, 3]
    assert scores["SEEDS"].tolist() == scores["seed"].tolist() == [0, 1] * 3
    assert (scores["value"] == scores["WIDTH"] + scores["seed"]).all()
    whole = pd.read_csv(serial.folder / "grid.csv")
    assert whole["table"].value_counts().to_dict() == {
        "01_scores": 6,
        "02_scores": 6,
    }
    assert "data,same" in made["01_provenance.csv"]
    # The same two at a time, with real kernels.
    source = SCORES.replace("NN", "01")
    write("01_a", source, DIE_ONCE, parameters=PARAMETERS)
    code = """import sys; from pathlib import Path
from helpers import paths, run; from helpers.runner import folder
folder.code_digest = lambda: "settled"
paths.NOTEBOOKS_DIR, paths.RUNS_DIR = Path("notebooks"), Path("runs")
sys.exit(run.main(sys.argv[1:]))"""
    mine = tmp_path / "runs" / "mine"
    command = [sys.executable, "-c", code, "--grid", "--profile=smoke"]
    command += ["--jobs=2", f"--run-dir={mine}"]
    command += ["--set=WIDTH=1,2,3", "--set=SEEDS=0,1"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "3,5"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    request.addfinalizer(process.kill)
    text = ""
    while text.count(": done, ") < 3 or KILLED not in text:
        text += (line := process.stdout.readline())
        assert line, text
    assert f"01_a: {KILLED}; again, and one at a time from" in text
    # Nothing of the runner can be reached.
    runner = psutil.Process(process.pid)
    states = {it.status for it in runner.net_connections() if it.laddr}
    assert "LISTEN" not in states
    kernels = runner.children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C in a terminal does
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGINT
    assert not any(kernel.is_running() for kernel in kernels)
    last = output.splitlines()[-1]
    assert last.startswith("Interrupted by SIGINT; go on: python -m helpers")
    assert "--set SEEDS=0,1 --grid --jobs 2 --resume --run-dir runs/m" in last
    assert "Traceback" not in output
    assert not list(mine.glob("**/.staging"))
    used = {file.read_text() for file in mine.glob("*/results/*_gpu.txt")}
    assert used and used <= {"3", "5"}
    rest = run("smoke", grid=GRID, run_dir=mine, resume=True, jobs=2)
    assert {*rest.status.values()} == {"kept", "done"}
    assert 2 <= [*rest.status.values()].count("kept") <= 9
    assert tables(mine) == made


def test_a_cell_that_fails_is_reported_and_the_rest_go_on(book, no_kernel):
    grid = {"WIDTH": ["x", 2], "SEEDS": [0, 1]}
    report = run("smoke", ["02"], grid=grid)
    assert report.exit_code == 1
    failed = "failed in code cell 2: TypeError: can only concatenate str"
    assert [*report.status] == [
        f"WIDTH={width},SEEDS={seed}/02_a" for width in "x2" for seed in "01"
    ]
    assert [it[: len(failed)] for it in report.status.values()] == [
        *(failed, failed, "done", "done")
    ]
    log = (report.folder / "log.txt").read_text()
    assert re.search("2/4.*; 2 ended, 2 failed, about 0:00:00 left\n", log)
    table = pd.read_csv(report.folder / "grid.csv")
    assert table["WIDTH"].tolist() == [2, 2]
    # Without a folder's name, the newest grid of the profile goes on.
    grid = {"WIDTH": [2], "SEEDS": [0, 1]}
    again = run("smoke", ["02"], grid=grid, resume=True)
    assert again.folder == report.folder
    assert {*again.status.values()} == {"kept"}


def test_several_run_at_a_time_and_say_so(book, monkeypatch, no_kernel):
    """Those killed together run again, alone; one killed twice has failed."""
    begun, ended, most = [], [], []

    def execute(source, *more, **how):
        begun.append(source)
        most.append(len(begun) - len(ended))
        time.sleep(0.2 if source.stem == "01_a" else 0.6)
        ended.append(source)
        if begun.count(source) < kills:
            return 1, f"its kernel died: {KILLED}, for want of memory"
        return no_kernel(source, *more)

    kills = 2
    monkeypatch.setattr(batch, "execute", execute)
    report = run("smoke", jobs=2)
    assert report.status == {"01_a": "done", "02_a": "done"}
    assert most == [1, 2, 1, 1]
    log = (report.folder / "log.txt").read_text()
    assert "01_a: running (killed)" in log
    kills = 0
    log = (run("smoke", jobs=2).folder / "log.txt").read_text()
    assert re.search("01_a: done, .* s; 1 ended, 0 failed, 02_a running", log)
    kills = 9
    report = run("smoke", jobs=2)
    assert len(begun) == 10
    for status in report.status.values():
        assert status.startswith("failed in code cell 1: its kernel died: ")


@pytest.mark.parametrize(
    ("pairs", "settings", "grid"),
    [
        (["A=1,2", "B=x"], {"B": "x"}, {"A": [1, 2]}),
        (["A=[0, 1],[2]"], {}, {"A": [[0, 1], [2]]}),
        (["A=[0, 1]", "B=one,None"], {"A": [0, 1]}, {"B": ["one", None]}),
        (["DATASET=2020_01,2020_02"], {}, {"DATASET": ["2020_01", "2020_02"]}),
        (["A='x,y','z'"], {}, {"A": ["x,y", "z"]}),
        (["A=1"], None, "give a parameter values"),
        (["A=1,2", "B=[0, 1"], None, r"--set B=\[0, 1"),
        (["A={[0]: 1},2"], None, r"--set A=\{\[0\]: 1\},2: the value is"),
    ],
)
def test_values_of_a_grid_are_read(pairs, settings, grid):
    there = [SimpleNamespace(kinds={"DATASET": "str"})]
    if settings is None:
        with pytest.raises(Refused, match=grid):
            parse_settings(pairs, there, True)
    else:
        assert parse_settings(pairs, there, True) == (settings, grid)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"WIDE": [1]}, "--set WIDE: no selected notebook .* mean WIDTH"),
        ({"WIDTH": [1, 1]}, "--set WIDTH: 1 is there twice"),
        ({"WIDTH": 1}, "--set WIDTH: a list of values is needed"),
        ({"MORE": [0, 1]}, "--set MORE: 01, 02 would run more than once"),
    ],
)
def test_a_grid_that_cannot_be_run_is_refused(book, write, grid, message):
    write("03_b", "1", parameters=PARAMETERS + "\nMORE = 1")
    with pytest.raises(Refused, match=message):
        run("smoke", grid=grid)
    assert not [*paths.RUNS_DIR.iterdir()]


def test_values_that_look_alike_have_folders_of_their_own(book, no_kernel):
    """Also where a system takes two cases for one."""
    report = run("smoke", ["01"], grid={"WIDTH": ["a b", "A_b", "c"]})
    folders = {name.casefold() for name in report.status}
    assert len(folders) == 3 and "width=c/01_a" in folders


def test_a_study_may_hold_a_grid(book, tmp_path, no_kernel):
    text = """title: Which width?
needs: nothing
takes: a second
publish: {widths: 01_scores}
steps:
  - {name: a, notebooks: ["01"], profile: smoke, grid: {WIDTH: [1, 2]}}
  - name: b
    notebooks: ["01"]
    profile: smoke
    parameters: {WIDTH: 7}
    columns: {WIDTH: seven}"""
    (paths.STUDIES_DIR / "one.yaml").write_text(text)
    report = run(study="one", publish=True)
    names = ["a/WIDTH=1/01_a", "a/WIDTH=2/01_a", "b/01_a"]
    assert report.status == dict.fromkeys(names, "done")
    (table,) = report.published
    rows = ["f1,1,0,1", "f1,2,0,2", "f1,7,0,seven"]
    assert table.read_text().splitlines() == ["metric,value,seed,WIDTH", *rows]
    # A parameter that is given on top is no part of the grid any more.
    other = run(settings={"WIDTH": 5}, study="one", run_dir=tmp_path / "other")
    assert other.status == dict.fromkeys(["a/01_a", "b/01_a"], "done")
    # Folders of one kind are not taken for the other's.
    for message, run_dir, more in (
        ("no study and no grid", report.folder / "b", {"grid": GRID}),
        ("is a study or a grid", report.folder, {}),
    ):
        with pytest.raises(Refused, match=message):
            run(run_dir=run_dir, resume=True, **more)


@pytest.mark.parametrize(
    ("jobs", "there", "given"),
    [
        (1, "0,1", [None]),
        (2, "0", ["0", "0"]),
        (3, "0,GPU-7", ["0", "GPU-7", "0"]),
        (2, "", [None, None]),
    ],
)
def test_gpus_are_divided_among_jobs(monkeypatch, jobs, there, given):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", there)
    assert gpus() == [it for it in there.split(",") if it]
    pool = Here(jobs)

    def taken(gpu):
        time.sleep(0.1)
        return gpu

    found = [pool.submit(taken) for _ in range(jobs)]
    assert {future.result() for future in found} == {*given}


@pytest.fixture
def cluster():
    """The address of a cluster in this process, with one thread."""
    options = {"dashboard_address": None, "n_workers": 1}
    with LocalCluster(
        processes=False, threads_per_worker=1, **options
    ) as cluster:
        yield cluster.scheduler_address


def test_a_cluster_that_is_there_is_used(book, no_kernel, cluster):
    grid = {"WIDTH": [1, 2]}
    report = run("smoke", ["01"], grid=grid, scheduler=cluster)
    assert {*report.status.values()} == {"done"}


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_notebook_whose_worker_is_lost_runs_on_another(write, tmp_path):
    mark = tmp_path / "killed"
    kill = f"""import os
if WIDTH == 1 and not os.path.exists({str(mark)!r}):
    open({str(mark)!r}, "w").close()
    os.kill(os.getppid(), 9)"""
    write("01_a", kill, SCORES.replace("NN", "01"), parameters=PARAMETERS)
    options = {"dashboard_address": None, "threads_per_worker": 1}
    with LocalCluster(n_workers=1, **options) as cluster:
        address = cluster.scheduler_address
        report = run("smoke", grid={"WIDTH": [1, 2]}, scheduler=address)
    assert {*report.status.values()} == {"done"} and mark.exists()
    table = pd.read_csv(report.folder / "grid.csv")
    assert table["WIDTH"].tolist() == [1, 2]


def test_only_the_kernels_of_a_run_are_killed(monkeypatch, tmp_path):
    """With their children, of which one has just ended."""
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    mine, other, child = (psutil.Popen(command) for _ in range(3))
    ended = psutil.Popen([sys.executable, "-c", ""])
    ended.wait()
    kernels = {tmp_path / "a" / "x": mine, tmp_path / "b" / "x": other}
    monkeypatch.setattr(kernel, "KERNELS", kernels)
    monkeypatch.setattr(psutil.Process, "children", lambda *_: [ended, child])
    kernel.kill_below(tmp_path / "a")
    assert mine.wait(10) != 0 and child.wait(10) != 0
    assert other.poll() is None
    other.kill()
    other.wait()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("folder", "the worker .* does not have the run's folder"),
        ("threads", "does not have --nthreads 1"),
        ("tcp://127.0.0.1:9", "--scheduler tcp://127.0.0.1:9: "),
        ("tls://127.0.0.1:9", "--scheduler tls://127.0.0.1:9: TLS expects"),
    ],
)
def test_a_cluster_that_does_not_fit_is_refused(
    book, cluster, monkeypatch, change, message
):
    if change == "folder":

        def facts(self, facts, token):
            here = facts(token)
            return {"tcp://there": here | {next(iter(here)): False}}

        monkeypatch.setattr(Client, "run", facts)
        monkeypatch.setattr(
            Client, "nthreads", lambda self: {"tcp://there": 1}
        )
    elif change == "threads":
        monkeypatch.setattr(
            Client, "nthreads", lambda self: defaultdict(lambda: 2)
        )
    else:
        monkeypatch.setattr(workers, "SECONDS", 1)
        cluster = change
    with pytest.raises(Refused, match=message):
        run("smoke", grid=GRID, scheduler=cluster)
