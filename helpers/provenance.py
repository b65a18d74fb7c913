"""What a notebook's results are made of, and whether that has changed."""

import hashlib
import importlib.metadata
import json
import os
import platform
from functools import cache
from pathlib import Path

from helpers.manifest import Notebook
from helpers.paths import DATA_DIR, PUBLISHED_DIR, ROOT

MEANING = {
    "notebook": "its cells changed",
    "code": "helpers or published tables changed",
    "parameters": "its parameters changed",
    "versions": "package versions changed",
    "environment": "KERAS_BACKEND or WORKBOOK_DATA changed",
    "needs": "results it needs changed",
}


def fingerprint(
    notebook: Notebook, parameters: dict[str, object], needs: dict[str, dict]
) -> dict[str, str]:
    """SHA-256 of each thing a notebook's results depend on.

    ``parameters`` are those passed to it, without its run folder; ``needs``
    maps a needed notebook to the digests of its files. The data themselves
    are not read: the loaders name their content in the results.
    """
    environment = {
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "data": str(DATA_DIR),
    }
    return {
        "notebook": notebook.digest,
        "code": code_digest(),
        "parameters": _digest(parameters),
        "versions": _digest(versions()),
        "environment": _digest(environment),
        "needs": _digest(needs),
    }


def changes(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """Why results are stale, in words; empty where nothing changed."""
    return [words for k, words in MEANING.items() if old.get(k) != new[k]]


@cache
def versions() -> dict[str, str]:
    """Python's version and that of every package in requirements.txt."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    names = [line.split("==")[0] for line in lines if "==" in line]
    found = {"python": platform.python_version()}
    for name in names:
        found[name] = importlib.metadata.version(name)
    return found


def code_digest() -> str:
    """SHA-256 of the helpers' code and the papers' tables."""
    files = [
        *sorted(Path(__file__).parent.glob("*.py")),
        *sorted(PUBLISHED_DIR.glob("*.csv")),
    ]
    return _digest(
        {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
    )


def _digest(content: object) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
