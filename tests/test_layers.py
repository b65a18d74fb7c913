"""A helper imports only from files above it in this list."""

import ast

from helpers.paths import ROOT

ORDER = """
paths session imbalance skin synthetic pictures datasets pixels audit splits
evaluation rounding losses methods models features representation training
heads drawing sheets figures results
manifest provenance signals runfolder execution batch run refresh
""".split()


def imported_helpers(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "helpers":
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module.startswith("helpers."):
                yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            for name in node.names:
                if name.name.startswith("helpers."):
                    yield name.name.split(".")[1]


def test_every_helper_has_its_place():
    files = {path.stem for path in (ROOT / "helpers").glob("*.py")}
    assert files == {*ORDER, "__init__"}


def test_imports_point_upwards():
    wrong = [
        f"{name} imports {other}"
        for place, name in enumerate(ORDER)
        for other in imported_helpers(ROOT / "helpers" / f"{name}.py")
        if other not in ORDER[:place]
    ]
    assert not wrong


def test_no_helper_imports_tensorflow_at_module_level():
    for name in ORDER:
        tree = ast.parse((ROOT / "helpers" / f"{name}.py").read_text())
        for node in tree.body:
            text = ast.unparse(node)
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert "tensorflow" not in text, f"{name}: {text}"
