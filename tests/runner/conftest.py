"""Small books, and their folders, for the tests of the runner."""

from functools import partial

import pytest

from helpers import paths
from helpers.runner import folder


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Folders of the test's own in place of the project's; their parent."""
    # A constant for the code's digest: files may be edited meanwhile.
    monkeypatch.setattr(folder, "code_digest", lambda: "settled")
    for name in ("notebooks", "runs", "figures", "studies", "measured"):
        place = tmp_path / name
        place.mkdir()
        monkeypatch.setattr(paths, f"{name.upper()}_DIR", place)
    return tmp_path


@pytest.fixture
def write(write_notebook, places):
    """Write a notebook into the test's own folder of notebooks."""
    return partial(write_notebook, places / "notebooks")
