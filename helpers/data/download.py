"""Fetch a public data set with one command, whole and checked, or not at all.

    python -m helpers.data.download chula-rbc-12 --to FOLDER

What the checksums are worth: ``data/checksums/chula-rbc-12.csv`` has the
SHA-256 of the 502 photographs and their label files that the workbook was
tried with, computed from that copy. Three of these label files were compared
with the public repository and agree; that every one of them is the same in
the commit below could not be checked without a network. The commit holds more
photographs than these: of the others only the names are told.
"""

import argparse
import hashlib
import os
import re
import shutil
import stat
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from helpers import paths
from helpers.data import chula
from helpers.session import say

REPOSITORY = "github.com/Chula-PIC-Lab/Chula-RBC-12-Dataset"
COMMIT = "fa130f48135d79bbd69f8e540b533511017d6896"
ARCHIVE = (
    "https://codeload.github.com/Chula-PIC-Lab/Chula-RBC-12-Dataset/zip/"
    + COMMIT
)
CHECKSUMS = paths.ROOT / "data" / "checksums" / "chula-rbc-12.csv"
"""Columns file (below the data set's folder) and sha256."""

LARGEST = 2_000_000_000
"""Bytes, packed or unpacked, above which an archive is refused."""

# Nothing else of the archive is unpacked, and so nothing beside the folder.
_WANTED = re.compile(
    r"[^/.][^/]*/(Dataset/[1-9][0-9]*\.jpg|Label/[1-9][0-9]*\.txt|README\.md"
    r"|LICENSE)"
)


@dataclass(frozen=True)
class Fetched:
    """What was fetched: where to, and how many of its files were checked."""

    folder: Path
    n_files: int
    n_checked: int


def fetch_chula(to: Path | str | None = None) -> Fetched:
    """Download Chula RBC-12 into ``TO/chula-rbc-12`` and check it.

    to: the data folder; default ``WORKBOOK_DATA`` or ``data/``. The folder
    appears whole, after every file that has a checksum has agreed with it.

    Raises FileExistsError where there is such a folder, ConnectionError
    where the archive cannot be fetched, ValueError where it is no archive, is
    too large, or a file with a checksum is missing or differs.
    """
    to = paths.data_folder(to)
    target = to / chula.NAME
    if target.exists():
        raise FileExistsError(
            f"{target} is there already and is left alone; move it away to "
            "download it anew"
        )
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{chula.NAME}.", dir=to) as work:
        archive, drawn = Path(work) / "archive.zip", Path(work) / chula.NAME
        _download(archive, target)
        n_files = _unpack(archive, drawn)
        n_checked = _check(drawn)
        os.rename(drawn, target)
    return Fetched(target, n_files, n_checked)


def _download(archive: Path, target: Path) -> None:
    try:
        with (
            urllib.request.urlopen(ARCHIVE, timeout=60) as answer,
            archive.open("wb") as file,
        ):
            left = LARGEST
            while part := answer.read(1 << 20):
                left -= len(part)
                if left < 0:
                    raise ValueError(f"{ARCHIVE} is larger than {LARGEST} B")
                file.write(part)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise ConnectionError(
            f"{ARCHIVE} could not be fetched ({error}). Without a network "
            f"here, get {REPOSITORY} at commit {COMMIT[:7]} elsewhere and "
            f"put its folders Dataset and Label into {target}"
        ) from error


def _unpack(archive: Path, folder: Path) -> int:
    """Unpack what belongs to the data set; return how many files."""
    try:
        packed = zipfile.ZipFile(archive)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{ARCHIVE} gave no zip archive: {error}") from error
    with packed:
        wanted = {}
        for info in packed.infolist():
            match = _WANTED.fullmatch(info.filename)
            linked = stat.S_ISLNK(info.external_attr >> 16)
            if match and not linked:
                wanted[match[1]] = info
        if sum(info.file_size for info in wanted.values()) > LARGEST:
            raise ValueError(f"{ARCHIVE} unpacks to more than {LARGEST} B")
        for file, info in wanted.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            with packed.open(info) as source, path.open("wb") as out:
                shutil.copyfileobj(source, out)
    return len(wanted)


def _check(folder: Path) -> int:
    """Compare every file that has a checksum; return how many."""
    known = pd.read_csv(CHECKSUMS, dtype=str)
    wrong = []
    for file, expected in zip(known["file"], known["sha256"], strict=True):
        path = folder / file
        if not path.is_file():
            wrong.append(f"{file} is missing")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            wrong.append(f"{file} differs")
    if wrong:
        raise ValueError(
            f"the archive is not what the workbook was tried with: {wrong[0]} "
            f"({len(wrong)} of {len(known)} files in all); nothing was "
            "written"
        )
    return len(known)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.data.download",
        description="Fetch a public data set, checked by SHA-256.",
    )
    parser.add_argument("name", choices=[chula.NAME])
    parser.add_argument(
        "--to",
        metavar="FOLDER",
        help="the data folder (default: WORKBOOK_DATA or data/)",
    )
    chosen = parser.parse_args(arguments)
    try:
        fetched = fetch_chula(chosen.to)
    except (OSError, ValueError) as error:
        say(f"error: {error}", sys.stderr)
        return 1
    say(
        f"{fetched.n_files} files in {fetched.folder}, {fetched.n_checked} of "
        "them checked by SHA-256"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
