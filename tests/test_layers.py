"""A helper imports only from files above it in this list."""

import ast

from helpers.paths import ROOT

LISTED = """
paths session terminal imbalance sampling skin synthetic pictures imagedata
folders arrays digits detection smears smear_synthesis severity chula download
cifar datasets red_cells pixels audit splits proportions evaluation ordinal
paired rounding losses remedies balance decisions methods models weight_files
efficientnet_lite backbones attention saliency regression residual optimisers
stacked features training bank heads grid end_to_end severity_studies
severity_sketches severity_claims drawing loss_figures smear_figures
ablation_figures balance_figures rbc_figures severity_figures sheets figures
results conditions rbc_claims runner.book runner.provenance runner.folder
runner.kernel runner.batch runner.sharing runner.study run refresh
"""
ORDER = LISTED.split()


def path_of(name):
    return ROOT / "helpers" / f"{name.replace('.', '/')}.py"


def imported_helpers(name):
    """Names, as in the list, of the helpers that one imports."""
    for node in ast.walk(ast.parse(path_of(name).read_text())):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [node.module]
            if node.module in ("helpers", "helpers.runner"):
                names = [f"{node.module}.{n.name}" for n in node.names]
        elif isinstance(node, ast.Import):
            names = [n.name for n in node.names]
        for found in names:
            if found.startswith("helpers."):
                yield found.removeprefix("helpers.")


def test_every_helper_has_its_place():
    files = [
        path.relative_to(ROOT / "helpers").with_suffix("").parts
        for path in (ROOT / "helpers").rglob("*.py")
        if path.name != "__init__.py"
    ]
    assert {".".join(parts) for parts in files} == set(ORDER)


def test_imports_point_upwards():
    wrong = [
        f"{name} imports {other}"
        for place, name in enumerate(ORDER)
        for other in imported_helpers(name)
        if other not in ORDER[:place]
    ]
    assert not wrong


def test_no_helper_imports_tensorflow_at_module_level():
    for name in ORDER:
        tree = ast.parse(path_of(name).read_text())
        for node in tree.body:
            text = ast.unparse(node)
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert "tensorflow" not in text, f"{name}: {text}"
