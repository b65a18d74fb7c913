"""The cache: whole or made anew, for many processes, killed ones too."""

import errno
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from helpers import paths
from helpers.paths import atomic_write, kept, scratch

VALUES = {"a": np.array([1, 2]), "text": "é"}
OTHER = {"a": np.array([1, 3]), "text": "é"}


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name != ".lock")


def test_atomic_write_replaces_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "table.csv"
    assert atomic_write(path, "a,é\n") == path
    atomic_write(path, b"b\n")
    with pytest.raises(TypeError):
        atomic_write(path, 3)
    assert path.read_bytes() == b"b\n"
    assert files(path.parent) == ["table.csv"]


@pytest.mark.parametrize("name", ["WORKBOOK_DATA", "WORKBOOK_CACHE"])
def test_an_empty_variable_is_as_if_it_were_not_set(monkeypatch, name):
    monkeypatch.setenv(name, "")
    found = runpy.run_path(paths.__file__)
    assert found[f"{name[9:]}_DIR"] == paths.ROOT / "data"
    assert paths.data_folder("") == paths.DATA_DIR


def test_arrays_are_kept_by_what_they_follow_from(tmp_path):
    made = []

    def asked(folder, **made_of):
        made_of = {"x": np.arange(3), **made_of}
        values, known = kept(folder, made_of, lambda: made.append(1) or VALUES)
        assert values["a"].tolist() == [1, 2] and str(values["text"]) == "é"
        return known

    assert [asked(tmp_path / "new") for _ in range(2)] == [False, True]
    assert not asked(tmp_path / "new", x=np.arange(3.0))
    assert not asked(tmp_path / "new", nested=[np.arange(2), 1])
    assert not asked(None)
    assert len(made) == 4


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        flipped,
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b""),
        lambda path: np.savez(path, **OTHER),  # as long, and sound
    ],
    ids=["altered", "cut short", "emptied", "another's"],
)
def test_a_damaged_file_is_made_anew_and_told(tmp_path, capsys, damage):
    def asked():
        values, known = kept(tmp_path, {"of": 1}, lambda: VALUES)
        assert values["a"].tolist() == [1, 2]
        return known

    assert [asked(), asked()] == [False, True]
    (name,) = files(tmp_path)
    damage(tmp_path / name)
    assert not asked()
    told = f"{tmp_path.name}/{name} was altered or cut short"
    assert capsys.readouterr().out.startswith(told)
    assert asked() and files(tmp_path) == [name]
    assert not capsys.readouterr().out


def test_what_cannot_be_written_is_made_each_time(
    tmp_path, monkeypatch, capsys
):
    """A full disk, and a folder that takes no files."""
    (tmp_path / "file").touch()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def asked(folder):
        for _ in range(2):
            values, known = kept(folder, {"of": 1}, lambda: VALUES)
            assert values is VALUES and not known
            assert "WORKBOOK_CACHE" in capsys.readouterr().out

    asked(tmp_path / "file")
    with pytest.raises(OSError, match="WORKBOOK_CACHE.*file"):
        scratch(tmp_path / "file").__enter__()
    monkeypatch.setattr(Path, "write_bytes", full)
    asked(tmp_path / "full")
    assert files(tmp_path / "full") == []


WRITER = """import sys, time
from pathlib import Path
from helpers.paths import scratch
with scratch(Path(sys.argv[1])) as place:
    (place / "half").write_bytes(b"half")
    print("written", flush=True)
    time.sleep(60)"""


def test_scratch_of_a_living_process_stays_and_of_a_killed_one_goes(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout.readline() == "written\n"
        waiting = Thread(target=kept, args=(tmp_path, {}, lambda: VALUES))
        waiting.start()
        time.sleep(0.3)
        assert waiting.is_alive()
        (scrap,) = files(tmp_path)
        assert os.listdir(tmp_path / scrap) == ["half"]
    finally:
        writer.kill()
        writer.communicate()
    waiting.join(20)
    (name,) = files(tmp_path)
    assert name.endswith(".npz")


MANY = """import sys
import numpy as np
from helpers.paths import kept
for key in [*range(30), *range(30)]:
    made = {"a": np.full(1000, key)}
    values, known = kept(sys.argv[1], {"key": key}, lambda: made)
    assert (values["a"] == key).all()"""


def test_two_processes_share_a_cache(tmp_path):
    command = [sys.executable, "-c", MANY, str(tmp_path)]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    for process in [subprocess.Popen(command, **pipe) for _ in range(2)]:
        output, _ = process.communicate(timeout=60)
        assert (process.returncode, output) == (0, b"")
    assert len(files(tmp_path)) == 30
    assert all(name.endswith(".npz") for name in files(tmp_path))
