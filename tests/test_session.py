"""Profiles, settings, the workspace, and a start that prints little."""

import subprocess
import sys

import keras
import pytest

from helpers import session
from helpers.paths import RUNS_DIR, atomic_write

BY_PROFILE = {
    "smoke": {"SEEDS": [0], "EPOCHS": 1},
    "quick": {"SEEDS": [0, 1], "EPOCHS": 9},
    "full": {"SEEDS": [0, 1, 2], "EPOCHS": 99},
}


def test_settle_overrides_the_profile_but_not_with_none():
    given = {"SEEDS": None, "EPOCHS": 0}
    settings = session.settle("quick", given, **BY_PROFILE)
    assert vars(settings) == {"SEEDS": [0, 1], "EPOCHS": 0}


@pytest.mark.parametrize(
    ("profile", "given", "by_profile", "message"),
    [
        ("fast", {}, BY_PROFILE, "'fast'; set it to one of smoke, quick"),
        ("quick", {"SEED": 1}, BY_PROFILE, r"unknown settings \['SEED'\]"),
        ("quick", {}, {"quick": {}}, "no settings for .* full, smoke"),
        ("quick", {}, BY_PROFILE | {"full": {"SEEDS": []}}, "full does not"),
    ],
)
def test_settle_names_what_is_wrong(profile, given, by_profile, message):
    with pytest.raises(ValueError, match=message):
        session.settle(profile, given, **by_profile)


def test_workspace_makes_its_folders_when_asked(tmp_path):
    workspace = session.Workspace("03", "smoke", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert workspace.figures == tmp_path / "run" / "figures"
    assert workspace.results.is_dir()


def test_begin_refuses_an_unknown_profile():
    with pytest.raises(ValueError, match="PROFILE is 'Quick'"):
        session.begin("03", "Quick")


def test_begin_prints_three_repeatable_lines(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    workspace = session.begin("03", "smoke", "runs/mine")
    first = capfd.readouterr()
    session.begin("03", "smoke", tmp_path)
    assert capfd.readouterr().out == first.out
    lines = first.out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "Versions",
        "Device",
        "Profile",
    ]
    assert "/" not in first.out
    assert workspace.run_dir == tmp_path / "runs" / "mine"
    assert workspace.versions["keras"] in lines[0]
    default = session.begin("03", "smoke")
    assert default.run_dir == RUNS_DIR / "interactive"


def test_begin_is_silent_on_stderr_in_a_fresh_process():
    code = "from helpers import session; session.begin('00', 'smoke')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow's own threads"
)
def test_an_operation_keeps_to_its_thread():
    """How many cores large products keep busy."""
    code = (
        "from helpers import session; session.begin('09', 'smoke', None, 1)\n"
        "import time, keras\n"
        "a = keras.ops.ones((1500, 1500)) @ keras.ops.ones((1500, 1500))\n"
        "wall, busy = time.perf_counter(), time.process_time()\n"
        "for _ in range(12): a = 1e-4 * (a @ a)\n"
        "assert float(a[0, 0])\n"
        "busy = time.process_time() - busy\n"
        "print(busy / (time.perf_counter() - wall))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout.splitlines()[-1]) < 1.2


def test_a_failing_start_shows_what_was_held_back(capfd, monkeypatch):
    def broken():
        import os

        os.write(2, b"driver too old\n")
        raise RuntimeError("no device")

    monkeypatch.setattr(session, "_versions", broken)
    with pytest.raises(RuntimeError, match="no device"):
        session.begin("03", "smoke")
    assert capfd.readouterr().err == "driver too old\n"


def test_atomic_write_replaces_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "table.csv"
    assert atomic_write(path, "a,é\n") == path
    atomic_write(path, b"b\n")
    with pytest.raises(TypeError):
        atomic_write(path, 3)
    assert path.read_bytes() == b"b\n"
    assert [p.name for p in path.parent.iterdir()] == ["table.csv"]


def test_tensorflow_keeps_quiet_in_a_notebook(tmp_path):
    """Where Python is interactive its import sets the logger to INFO."""
    code = (
        "import sys, logging; sys.ps1 = '>'\n"
        "from helpers import session\n"
        f"session.begin('00', 'smoke', {str(tmp_path)!r})\n"
        "print(logging.getLogger('tensorflow').level == logging.ERROR)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert done.stdout.endswith("True\n"), done.stderr
