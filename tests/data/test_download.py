"""A download is whole and checked, or leaves nothing behind."""

import hashlib
import re
import stat
import urllib.error
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from helpers.data import chula, download
from helpers.data.download import fetch_chula, main

TOP = f"Chula-RBC-12-Dataset-{download.COMMIT}"
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

    def offer(files, checked=FILES, more=()):
        archive = tmp_path / "offered.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in files.items():
                packed.writestr(f"{TOP}/{name}", content)
            for info, content in more:
                packed.writestr(info, content)
        monkeypatch.setattr(download, "ARCHIVE", archive.as_uri())
        sums = {
            name: hashlib.sha256(content).hexdigest()
            for name, content in checked.items()
            if name != "LICENSE"
        }
        table = pd.Series(sums, name="sha256").rename_axis("file")
        table.to_csv(tmp_path / "sums.csv")
        monkeypatch.setattr(download, "CHECKSUMS", tmp_path / "sums.csv")

    offer(FILES)
    return offer


def everything(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file()
    }


def test_the_data_set_arrives(offered, tmp_path):
    fetched = fetch_chula(tmp_path / "data")
    assert fetched.folder == tmp_path / "data" / chula.NAME
    assert (fetched.n_files, fetched.n_checked) == (5, 4)
    assert everything(tmp_path / "data") == {
        f"{chula.NAME}/{name}": content for name, content in FILES.items()
    }


def test_files_without_a_checksum_are_let_in(offered, tmp_path):
    offered(FILES | {"Dataset/3.jpg": b"new", "Label/3.txt": b""})
    fetched = fetch_chula(tmp_path / "data")
    assert (fetched.n_files, fetched.n_checked) == (7, 4)


def test_nothing_else_is_unpacked(offered, tmp_path):
    link = zipfile.ZipInfo(f"{TOP}/Dataset/9.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    offered(
        FILES | {"RBC Diseases/1.jpg": b"", "Dataset/sub/5.jpg": b""},
        more=[
            (link, b"/etc/passwd"),
            (f"{TOP}/../../Dataset/7.jpg", b"out"),
            ("../Dataset/8.jpg", b"out"),
            (f"/{TOP}/Dataset/6.jpg", b"out"),
        ],
    )
    fetched = fetch_chula(tmp_path / "a" / "data")
    inside = everything(fetched.folder)
    assert set(inside) == set(FILES)
    assert {p.name for p in (tmp_path / "a").rglob("*.jpg")} == {
        "1.jpg",
        "22.jpg",
    }


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (FILES | {"Label/1.txt": b"1 2 1\n"}, r"Label/1.txt differs \(1 of 4"),
        ({"Dataset/1.jpg": b"one"}, r"Dataset/22.jpg is missing \(3 of 4"),
    ],
)
def test_another_content_leaves_nothing(offered, tmp_path, files, told):
    offered(files)
    with pytest.raises(ValueError, match=told):
        fetch_chula(tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_no_archive_and_too_large(offered, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "LARGEST", 12)
    with pytest.raises(ValueError, match="larger than 12 B"):
        fetch_chula(tmp_path / "data")
    (tmp_path / "offered.zip").write_text("no zip")
    with pytest.raises(ValueError, match="gave no zip archive"):
        fetch_chula(tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_unpacked_size_is_limited(offered, tmp_path, monkeypatch):
    bomb = {"Dataset/1.jpg": bytes(100_000)}
    offered(bomb, checked=bomb)
    monkeypatch.setattr(download, "LARGEST", 50_000)
    with pytest.raises(ValueError, match="unpacks to more than"):
        fetch_chula(tmp_path / "data")


def test_without_a_network(offered, tmp_path, monkeypatch, capsys):
    def refuse(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(download.urllib.request, "urlopen", refuse)
    with pytest.raises(ConnectionError, match="no route to host.*elsewhere"):
        fetch_chula(tmp_path / "data")
    assert main([chula.NAME, "--to", str(tmp_path / "data")]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert list((tmp_path / "data").iterdir()) == []


def test_what_is_there_is_left_alone(offered, tmp_path):
    mine = tmp_path / "data" / chula.NAME / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(FileExistsError, match="left alone"):
        fetch_chula(tmp_path / "data")
    assert mine.read_text() == "mine"


def test_command_line(offered, tmp_path, capsys):
    assert main([chula.NAME, "--to", str(tmp_path / "data")]) == 0
    assert "5 files" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["another-set"])


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
