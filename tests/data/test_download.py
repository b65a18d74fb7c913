"""A download is whole and checked, or leaves nothing behind."""

import hashlib
import re
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest

from helpers.data import CHULA, download
from helpers.data.download import TOP, fetch_chula, main

FILES = {
    "Dataset/1.jpg": b"one",
    "Dataset/22.jpg": b"two",
    "Label/1.txt": b"1 2 0\n",
    "Label/22.txt": b"",
    "LICENSE": b"MIT",
}


@pytest.fixture
def offered(tmp_path, monkeypatch):
    """Offer an archive of the files; returns a function that changes it."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    def offer(files, more=()):
        with zipfile.ZipFile(tmp_path / "offered.zip", "w") as packed:
            for name, content in files.items():
                packed.writestr(f"{TOP}/{name}", content)
            for name in more:
                packed.writestr(name, b"out")

    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=tmp_path)
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    url = f"http://127.0.0.1:{server.server_port}/offered.zip"
    monkeypatch.setattr(download, "ARCHIVE", url)
    sums = {
        name: hashlib.sha256(content).hexdigest()
        for name, content in FILES.items()
        if name != "LICENSE"
    }
    table = pd.Series(sums, name="sha256").rename_axis("file")
    table.to_csv(tmp_path / "sums.csv")
    monkeypatch.setattr(download, "CHECKSUMS", tmp_path / "sums.csv")
    offer(FILES)
    yield offer
    server.shutdown()
    server.server_close()


def everything(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file()
    }


def test_the_data_set_arrives(offered, tmp_path, capfd):
    folder, n_checked = fetch_chula(tmp_path / "data")
    assert folder == tmp_path / "data" / CHULA and n_checked == 4
    assert everything(tmp_path / "data") == {
        f"{CHULA}/{name}": content for name, content in FILES.items()
    }
    assert capfd.readouterr() == ("", "")


def test_files_without_a_checksum_are_let_in_and_no_others(offered, tmp_path):
    new = {"Dataset/3.jpg": b"new", "Label/3.txt": b""}
    others = [
        f"{TOP}/RBC Diseases/1.jpg",
        f"{TOP}/../../Dataset/7.jpg",
        "../Dataset/8.jpg",
        f"/{TOP}/Dataset/6.jpg",
    ]
    offered(FILES | new, more=others)
    folder, n_checked = fetch_chula(tmp_path / "a" / "data")
    assert everything(folder) == FILES | new and n_checked == 4
    assert set(everything(tmp_path / "a")) == {
        f"data/{CHULA}/{name}" for name in FILES | new
    }


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (FILES | {"Label/1.txt": b"1 2 1\n"}, r"Label/1.txt is.*\(1 of 4"),
        ({"Dataset/1.jpg": b"one"}, r"Dataset/22.jpg is.*\(3 of 4"),
    ],
)
def test_another_content_leaves_nothing(offered, tmp_path, files, told):
    offered(files)
    with pytest.raises(ValueError, match=told):
        fetch_chula(tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_no_archive_and_no_answer(offered, tmp_path, capsys):
    (tmp_path / "offered.zip").write_text("no zip")
    with pytest.raises(ValueError, match="gave no zip"):
        fetch_chula(tmp_path / "data")
    (tmp_path / "offered.zip").unlink()
    with pytest.raises(ConnectionError, match="404.*Without.*elsewhere"):
        fetch_chula(tmp_path / "data")
    assert main([CHULA, "--to", str(tmp_path / "data")]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert list((tmp_path / "data").iterdir()) == []


def test_command_line(offered, tmp_path, capsys):
    to = ["--to", str(tmp_path / "data")]
    assert main([CHULA, *to]) == 0
    assert "4 files agree" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["another-set"])
    # What is there is left alone.
    with pytest.raises(FileExistsError, match="left alone"):
        fetch_chula(tmp_path / "data")


def test_the_committed_checksums():
    known = pd.read_csv(download.CHECKSUMS, dtype=str)
    assert list(known) == ["file", "sha256"]
    assert known["file"].is_unique
    assert all(re.fullmatch("[0-9a-f]{64}", h) for h in known["sha256"])
    names = known["file"].str.extract(r"^(Dataset|Label)/(\d+)\.(jpg|txt)$")
    assert names.notna().all(axis=None)
    sides = names.groupby(0)[1].apply(set)
    assert len(sides["Dataset"]) == 502
    assert sides["Dataset"] == sides["Label"]
    assert re.search(r"[0-9a-f]{40}$", download.ARCHIVE)
