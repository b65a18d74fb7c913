"""Where things lie: the project, its data, its runs and its figures.

Two environment variables move things elsewhere:

``WORKBOOK_DATA``
    the folder that holds real data sets (default: ``data/``);
``WORKBOOK_CACHE``
    where drawn pictures and cached features are kept (default: ``data/``).
"""

import os
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def folder(given: Path | str) -> Path:
    """A folder that a person named: ``~`` stands for the home folder."""
    return Path(given).expanduser().resolve()


DATA_DIR = folder(os.environ.get("WORKBOOK_DATA", ROOT / "data"))
CACHE_DIR = folder(os.environ.get("WORKBOOK_CACHE", ROOT / "data"))
NOTEBOOKS_DIR = ROOT / "notebooks"
FIGURES_DIR = ROOT / "figures"
RUNS_DIR = ROOT / "runs"
PUBLISHED_DIR = ROOT / "data" / "published"
MEASURED_DIR = ROOT / "data" / "measured"
STUDIES_DIR = ROOT / "data" / "studies"


def data_folder(given: Path | str | None = None) -> Path:
    """The folder of the data sets: ``DATA_DIR`` unless another is given."""
    return DATA_DIR if given is None else Path(given).expanduser()


def atomic_write(path: Path | str, data: bytes | str) -> Path:
    """Write a file whole or not at all, and return its path.

    The bytes go into a temporary file in the same folder, which then takes
    the place of ``path`` in one step: a reader sees the old file or the new
    one, never a part of it. Missing parent folders are made; text is UTF-8.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(data.encode() if isinstance(data, str) else data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path
