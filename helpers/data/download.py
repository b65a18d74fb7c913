"""Fetch a public data set with one command, whole and checked, or not at all.

    python -m helpers.data.download chula-rbc-12 --to FOLDER

``data/checksums/chula-rbc-12.csv`` has the SHA-256 of the 502 photographs and
their label files that the workbook was tried with, computed from that copy.
Three of these label files were compared with the public repository and agree;
that every one of them is the same in the commit below could not be checked
without a network. The commit holds more photographs than these.
"""

import argparse
import os
import sys
import tempfile
import zipfile
from pathlib import Path

import pandas as pd
import pooch

from helpers import paths
from helpers.data.red_cells import CHULA
from helpers.session import say

COMMIT = "fa130f48135d79bbd69f8e540b533511017d6896"
REPOSITORY = "Chula-PIC-Lab/Chula-RBC-12-Dataset"
ARCHIVE = f"https://codeload.github.com/{REPOSITORY}/zip/{COMMIT}"
TOP = f"Chula-RBC-12-Dataset-{COMMIT}"
"""The archive's folder. Only these of its members are unpacked:"""
MEMBERS = ("Dataset/", "Label/", "README.md", "LICENSE")

CHECKSUMS = paths.ROOT / "data" / "checksums" / "chula-rbc-12.csv"
"""Columns file (below the data set's folder) and sha256."""


def fetch_chula(to: Path | str | None = None) -> tuple[Path, int]:
    """Download Chula RBC-12 into ``TO/chula-rbc-12`` and check it.

    to: the data folder; default ``WORKBOOK_DATA`` or ``data/``. The data
    set's folder appears whole, after every file that has a checksum has
    agreed with it. Returns it, and how many files were checked.

    Raises FileExistsError where there is such a folder, ConnectionError
    where the archive cannot be fetched, ValueError where it is no archive,
    or a file with a checksum is missing or differs.
    """
    to = paths.data_folder(to)
    target = to / CHULA
    if target.exists():
        raise FileExistsError(
            f"{target} is there already and is left alone; move it away to "
            "download it anew"
        )
    to.mkdir(parents=True, exist_ok=True)
    pooch.get_logger().setLevel("WARNING")
    unzip = pooch.Unzip([f"{TOP}/{name}" for name in MEMBERS], "unpacked")
    with tempfile.TemporaryDirectory(prefix=f".{CHULA}.", dir=to) as work:
        try:
            # No hash of the archive: each file has its own.
            pooch.retrieve(ARCHIVE, None, "archive.zip", work, unzip)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{ARCHIVE} gave no zip: {error}") from error
        except OSError as error:
            raise ConnectionError(
                f"{ARCHIVE} could not be fetched ({error}). Without a network "
                f"here, get github.com/{REPOSITORY} at commit {COMMIT[:7]} "
                f"elsewhere and put its folders Dataset and Label into "
                f"{target}"
            ) from error
        unpacked = Path(work) / "unpacked" / TOP
        expected = pd.read_csv(CHECKSUMS, index_col="file")["sha256"]
        wrong = [
            file
            for file, sha256 in expected.items()
            if not (unpacked / file).is_file()
            or paths.file_sha256(unpacked / file) != sha256
        ]
        if wrong:
            raise ValueError(
                "the archive is not what the workbook was tried with: "
                f"{wrong[0]} is missing or differs ({len(wrong)} of "
                f"{len(expected)} files in all); nothing was written"
            )
        os.rename(unpacked, target)
    return target, len(expected)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.data.download",
        description="Fetch a public data set, checked by SHA-256.",
    )
    parser.add_argument("name", choices=[CHULA])
    where = "the data folder (default: WORKBOOK_DATA or data/)"
    parser.add_argument("--to", metavar="FOLDER", help=where)
    chosen = parser.parse_args(arguments)
    try:
        folder, n_checked = fetch_chula(chosen.to)
    except (OSError, ValueError) as error:
        say(f"error: {error}", sys.stderr)
        return 1
    say(f"{folder} is there; {n_checked} files agree with their SHA-256")
    return 0


if __name__ == "__main__":
    sys.exit(main())
