"""Grids: what they run, and on workers what a run without them gives."""

import inspect
import os
import re
import signal
import subprocess
import sys
from collections import defaultdict

import pandas as pd
import psutil
import pytest
from distributed import Client, LocalCluster

from helpers.runner import (
    Refused,
    folder,
    kernel,
    parse_grid,
    run_grid,
    run_study,
    workers,
)
from helpers.runner.workers import environments, gpus

PARAMETERS = """PROFILE = "quick"
SEEDS: list[int] = ([0], [0, 1], None)
WIDTH = 1
RUN_DIR = None"""
SCORES = """import os, time
from pathlib import Path
seeds = SEEDS if isinstance(SEEDS, list) else SEEDS[0]
rows = "".join(f"f1,{WIDTH + seed},{seed}\\n" for seed in seeds)
table = Path(RUN_DIR, "results", "NN_scores.csv")
table.write_text("metric,value,seed\\n" + rows)
threads = os.environ.get("OMP_NUM_THREADS")
facts = f"what,it\\ndata,same\\nthreads,{threads}\\n"
table.with_name("NN_provenance.csv").write_text(facts)"""
DIE_ONCE = """
time.sleep(0.3)
mark = Path("killed")
if WIDTH == 1 and not mark.exists():
    mark.write_text("in mid-cell")
    os.kill(os.getpid(), 9)"""
GRID = {"WIDTH": [1, 2, 3], "SEEDS": [0, 1]}


@pytest.fixture
def places(tmp_path, write_notebook, monkeypatch):
    """A small book of two notebooks with the same parameters."""
    monkeypatch.setattr(folder, "code_digest", lambda: "settled")
    for number in ("01", "02"):
        source = SCORES.replace("NN", number)
        write_notebook(
            tmp_path / "notebooks",
            f"{number}_a",
            source,
            "if Path('die').exists():" + DIE_ONCE.replace("\n", "\n    "),
            parameters=PARAMETERS,
        )
    return {f"{it}_dir": tmp_path / it for it in ("notebooks", "runs")}


def tables(run_dir):
    """The tables of a finished grid by name."""
    files = [run_dir / "grid.csv", *(run_dir / "results").glob("*.csv")]
    return {file.name: file.read_text() for file in files}


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_grid_on_workers_equals_a_serial_one(
    places, tmp_path, no_kernel, request
):
    """Interrupted and resumed, and with a worker killed in mid-cell."""
    serial = run_grid(GRID, "smoke", **places)
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

    # The same on two workers, which import a copy of what no_kernel does.
    (tmp_path / "die").touch()
    code = f"""import sys, traceback, papermill; from pathlib import Path
from helpers import run; from helpers.runner import batch, folder
folder.code_digest = lambda: "settled"
{inspect.getsource(no_kernel)}
batch.execute = execute
sys.exit(run.main(sys.argv[1:], Path("notebooks"), Path("runs")))"""
    mine = tmp_path / "runs" / "mine"
    command = [sys.executable, "-c", code, "--grid", "--profile=smoke"]
    command += ["--jobs=2", f"--run-dir={mine}"]
    command += ["--set=WIDTH=1,2,3", "--set=SEEDS=0,1"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    request.addfinalizer(process.kill)
    lines = []
    while not (tmp_path / "killed").exists() or len(lines) < 14:
        lines.append(process.stdout.readline())
        assert lines[-1], lines
    # Nobody else reaches the workers.
    others = psutil.Process(process.pid).children(recursive=True)
    for one in [psutil.Process(process.pid), *others]:
        for it in one.net_connections():
            if it.status == "LISTEN":
                assert it.laddr.ip == "127.0.0.1" and it.laddr.port != 8787
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C in a terminal does
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGINT
    last = output.splitlines()[-1]
    assert last.startswith("Interrupted by SIGINT; go on: python -m helpers")
    assert "--set SEEDS=0,1 --resume --run-dir runs/mine --jobs 2" in last
    assert "Traceback" not in output
    assert not list(mine.glob("**/.staging"))
    rest = run_grid(GRID, run_dir=mine, resume=True, profile="smoke", **places)
    assert {*rest.status.values()} == {"kept", "done"}
    assert 2 <= [*rest.status.values()].count("kept") <= 9
    assert tables(mine) == made


def test_a_cell_that_fails_is_reported_and_the_rest_go_on(places, no_kernel):
    grid = {"WIDTH": ["x", 2], "SEEDS": [0, 1]}
    report = run_grid(grid, "smoke", ["02"], **places)
    assert report.exit_code == 1
    failed = "failed in code cell 2: TypeError: can only concatenate str"
    assert [*report.status] == [
        f"WIDTH={width},SEEDS={seed}/02_a" for width in "x2" for seed in "01"
    ]
    assert [it[: len(failed)] for it in report.status.values()] == [
        *(failed, failed, "done", "done")
    ]
    log = (report.folder / "log.txt").read_text()
    assert re.search("2/4.*; 2 failed, about 0:00:00 left\n", log)
    table = pd.read_csv(report.folder / "grid.csv")
    assert table["WIDTH"].tolist() == [2, 2]
    # Without a folder's name, the newest grid of the profile goes on.
    grid = {"WIDTH": [2], "SEEDS": [0, 1]}
    again = run_grid(grid, "smoke", ["02"], resume=True, **places)
    assert again.folder == report.folder
    assert {*again.status.values()} == {"kept"}


@pytest.mark.parametrize(
    ("pairs", "fixed", "grid"),
    [
        (["A=1,2", "B=x"], {"B": "x"}, {"A": [1, 2]}),
        (["A=[0, 1],[2]"], {}, {"A": [[0, 1], [2]]}),
        (["A=[0, 1]", "B=one,None"], {"A": [0, 1]}, {"B": ["one", None]}),
        (["DATASET=2020_01,2020_02"], {}, {"DATASET": ["2020_01", "2020_02"]}),
        (["A='x,y','z'"], {}, {"A": ["x,y", "z"]}),
        (["A=1"], None, "give a parameter values"),
        (["A=1,2", "B=[0, 1"], None, r"--set B=\[0, 1"),
    ],
)
def test_values_of_a_grid_are_read(pairs, fixed, grid):
    if fixed is None:
        with pytest.raises(Refused, match=grid):
            parse_grid(pairs)
    else:
        assert parse_grid(pairs) == (fixed, grid)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"WIDE": [1]}, "--set WIDE: no selected notebook .* mean WIDTH"),
        ({"WIDTH": [1, 1]}, "--set WIDTH: 1 is there twice"),
        ({"WIDTH": 1}, "--set WIDTH: a list of values is needed"),
        ({"SEEDS": [0]}, "--set SEEDS: it has a fixed value, too"),
        ({"MORE": [0, 1]}, "--set MORE: 01, 02 would run more than once"),
    ],
)
def test_a_grid_that_cannot_be_run_is_refused(
    places, write_notebook, grid, message
):
    more = PARAMETERS + "\nMORE = 1"
    write_notebook(places["notebooks_dir"], "03_b", "1", parameters=more)
    with pytest.raises(Refused, match=message):
        run_grid(grid, "smoke", settings={"SEEDS": [0]}, **places)
    assert not places["runs_dir"].exists()


def test_a_study_may_hold_a_grid(places, tmp_path, no_kernel):
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
    (tmp_path / "one.yaml").write_text(text)
    more = {"studies_dir": tmp_path, "measured_dir": tmp_path / "measured"}
    report = run_study("one", publish=True, **places, **more)
    names = ["a/WIDTH=1/01_a", "a/WIDTH=2/01_a", "b/01_a"]
    assert report.status == dict.fromkeys(names, "done")
    (table,) = report.published
    rows = ["f1,1,0,1", "f1,2,0,2", "f1,7,0,seven"]
    assert table.read_text().splitlines() == ["metric,value,seed,WIDTH", *rows]
    # A parameter that is given on top is no part of the grid any more.
    where = tmp_path / "other"
    report = run_study("one", {"WIDTH": 5}, run_dir=where, **places, **more)
    assert report.status == dict.fromkeys(["a/01_a", "b/01_a"], "done")
    # Folders of one kind are not taken for the other's.
    for run_dir in (report.folder / "b", tmp_path / "notebooks"):
        with pytest.raises(Refused, match="no study and no grid|other files"):
            run_grid(
                GRID, run_dir=run_dir, resume=run_dir.name == "b", **places
            )


def test_gpus_are_divided_among_workers():
    env = environments(2, ["0"])
    assert [it["CUDA_VISIBLE_DEVICES"] for it in env] == ["0", "0"]
    env = environments(3, ["0", "GPU-7"])
    assert [it["CUDA_VISIBLE_DEVICES"] for it in env] == ["0", "GPU-7", "0"]
    assert "CUDA_VISIBLE_DEVICES" not in environments(1, [])[0]


def test_gpus_are_those_that_a_process_may_use(monkeypatch, tmp_path):
    for given, found in {"1,3": ["1", "3"], "": []}.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
        assert gpus() == found


@pytest.fixture
def cluster():
    """The address of a cluster in this process, with one thread."""
    options = {"dashboard_address": None, "n_workers": 1}
    with LocalCluster(
        processes=False, threads_per_worker=1, **options
    ) as cluster:
        yield cluster.scheduler_address


def test_a_cluster_that_is_there_is_used(places, no_kernel, cluster):
    more = {"scheduler": cluster, **places}
    report = run_grid({"WIDTH": [1, 2]}, "smoke", ["01"], **more)
    assert {*report.status.values()} == {"done"}
    assert report.again.endswith(f" --scheduler {cluster}")


def test_only_the_kernels_of_a_run_are_killed(monkeypatch, tmp_path):
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    kernels = {tmp_path / it / "x": subprocess.Popen(command) for it in "ab"}
    monkeypatch.setattr(kernel, "KERNELS", kernels)
    kernel.kill_below(tmp_path / "a")
    mine, other = kernels.values()
    assert mine.wait(10) != 0 and other.poll() is None
    other.kill()
    other.wait()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("folder", "the worker .* does not have the run's folder"),
        ("threads", "does not have --nthreads 1"),
        ("address", "--scheduler tcp://127.0.0.1:9: "),
    ],
)
def test_a_cluster_that_does_not_fit_is_refused(
    places, cluster, monkeypatch, change, message
):
    if change == "folder":

        def run(self, facts, token):
            here = facts(token)
            return {"tcp://there": here | {next(iter(here)): False}}

        monkeypatch.setattr(Client, "run", run)
        monkeypatch.setattr(
            Client, "nthreads", lambda self: {"tcp://there": 1}
        )
    elif change == "threads":
        monkeypatch.setattr(
            Client, "nthreads", lambda self: defaultdict(lambda: 2)
        )
    else:
        monkeypatch.setattr(workers, "SECONDS", 1)
        cluster = "tcp://127.0.0.1:9"
    with pytest.raises(Refused, match=message):
        run_grid(GRID, "smoke", scheduler=cluster, **places)
