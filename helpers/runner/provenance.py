"""The versions and the code that results are made of."""

import hashlib
import importlib.metadata
import platform
from functools import cache
from pathlib import Path

from helpers.paths import PUBLISHED_DIR, ROOT


@cache
def versions() -> dict[str, str]:
    """Python's version and that of every package in requirements.txt."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    names = [line.split("==")[0] for line in lines if "==" in line]
    found = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version(), **found}


@cache
def code_digest() -> str:
    """SHA-256 of the helpers, this package aside, and the papers' tables."""
    helpers = sorted(Path(__file__).parents[1].glob("*.py"))
    digest = hashlib.sha256()
    for file in [*helpers, *sorted(PUBLISHED_DIR.glob("*.csv"))]:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
