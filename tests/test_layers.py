"""The rooms of the house, and the order in which they may import."""

import ast
import importlib

import pytest

from helpers.paths import ROOT

HELPERS = ROOT / "helpers"
ORDER = [
    "paths",
    "session",
    "imbalance",
    "evaluation",
    "data",
    "methods",
    "models",
    "training",
    "figures",
    "papers",
    "check",
    "runner",
    "run",
    "book",
    "lab",
]
ROOMS = [name for name in ORDER if (HELPERS / name).is_dir()]


def room_of(path):
    return path.relative_to(HELPERS).with_suffix("").parts[0]


FILES = [path for path in HELPERS.rglob("*.py") if room_of(path) != "__init__"]


def imported(path):
    """Rooms that a file imports from, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [node.module]
            if node.module == "helpers":
                names = [f"helpers.{name.name}" for name in node.names]
        elif isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        for name in names:
            if name.startswith("helpers."):
                yield name.split(".")[1]


def test_every_file_is_in_a_room():
    assert {room_of(path) for path in FILES} == set(ORDER)


def test_a_room_imports_only_from_earlier_rooms():
    wrong = [
        f"{path.relative_to(ROOT)} imports {room}"
        for path in FILES
        for room in imported(path)
        if ORDER.index(room) > ORDER.index(room_of(path))
    ]
    assert not wrong


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is(room):
    module = importlib.import_module(f"helpers.{room}")
    assert module.__doc__.strip()


def test_no_helper_imports_at_module_level_what_a_machine_may_lack():
    for path in FILES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                for name in ("tensorflow", "jax", "dask", "distributed"):
                    assert name not in ast.unparse(node), path
