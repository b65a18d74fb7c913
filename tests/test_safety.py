"""What no file and no download can do: the rules, over all of the code."""

import ast
import json
import re
from collections.abc import Iterator

import keras
import pytest

from helpers.models import backbone
from helpers.paths import NOTEBOOKS_DIR, ROOT

HELPERS = sorted((ROOT / "helpers").rglob("*.py"))
NOTEBOOKS = sorted(NOTEBOOKS_DIR.glob("*.ipynb"))

UNPICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve"}
UNPICKLERS |= {"marshal", "torch"}
CALLS = {
    # Each runs code that a file or a text brings along.
    *("eval", "exec", "read_pickle", "yaml.load", "load_model"),
    *("model_from_json", "deserialize_keras_object"),
    "enable_unsafe_deserialization",
    # Each gives a text to a shell.
    *("os.system", "os.popen", "subprocess.getoutput"),
    # Each unpacks wherever an archive says.
    *("extractall", "unpack_archive"),
}
OPTIONS = {"allow_pickle": "False", "shell": "False", "safe_mode": "True"}
"""The one value that each may have."""
FETCHERS = {"pooch.retrieve", "urlopen", "urlretrieve", "get_file"}
FETCHERS |= {"pooch.create", "requests.get", "requests.request", "httpx.get"}


def wrong(code: str, unpickles: bool = False) -> Iterator[str]:
    """What is forbidden in a program; ``unpickles`` may subclass a reader."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in {name.split(".")[0] for name in names} & UNPICKLERS:
                if not (unpickles and isinstance(node, ast.Import)):
                    yield f"imports {name}"
        if isinstance(node, ast.Attribute) and unpickles:
            used = ast.unparse(node)
            if used.startswith("pickle.") and used != "pickle.Unpickler":
                yield used
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"\b(?:http|ftp)://\S*", node.value)
        if isinstance(node, ast.Call):
            yield from _wrong_call(node)


def _wrong_call(node: ast.Call) -> Iterator[str]:
    named = ast.unparse(node.func)
    method = named.rpartition(".")[2]
    # A table's own eval() only knows arithmetic.
    if named in CALLS or method in CALLS - {"eval", "exec"}:
        yield named
    given = {k.arg: ast.unparse(k.value) for k in node.keywords}
    for option, allowed in OPTIONS.items():
        if given.get(option, allowed) != allowed:
            yield f"{option}={given[option]}"
    if named == "np.load" and "allow_pickle" not in given:
        yield "np.load without allow_pickle=False"
    texts = ast.Constant | ast.JoinedStr
    if named.startswith("subprocess.") and isinstance(node.args[0], texts):
        yield f"{named} of a text"


def fetches(code: str) -> set[str]:
    calls = (n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Call))
    names = {ast.unparse(call.func) for call in calls}
    return {n for n in names if {n, n.rpartition(".")[2]} & FETCHERS}


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.numpy_pickle",
        "import torch",
        "pd.read_pickle('x')",
        "np.load('x')",
        "np.load('x', allow_pickle=True)",
        "keras.saving.load_model('x')",
        "keras.models.load_model('x', safe_mode=False)",
        "keras.config.enable_unsafe_deserialization()",
        "yaml.load(text, yaml.Loader)",
        "eval(text)",
        "os.system('ls')",
        "subprocess.run('ls', shell=True)",
        "subprocess.run(f'ls {x}')",
        "subprocess.run(words, shell=shell)",
        "tarfile.open(x).extractall(y)",
        "URL = 'http://example.org/x.zip'",
    ],
)
def test_the_rules_find_what_they_forbid(code):
    assert list(wrong(code))


def test_the_rules_let_the_rest_pass():
    code = "table.eval('a / b'); np.load(x, allow_pickle=False)\n"
    code += "subprocess.run(['ls']); yaml.safe_load(x); model.load_weights(x)"
    assert not list(wrong(code))
    restricted = "import pickle\nclass Mine(pickle.Unpickler): pass"
    assert not list(wrong(restricted, unpickles=True))
    assert list(wrong("import pickle; pickle.load(x)", unpickles=True))
    assert fetches("pooch.retrieve(x); request.urlopen(x)")


@pytest.mark.parametrize("path", HELPERS, ids=lambda p: p.stem)
def test_helpers_keep_the_rules(path):
    name, code = path.relative_to(ROOT).as_posix(), path.read_text("utf-8")
    assert not list(wrong(code, name == "helpers/models/weights.py"))
    # What is fetched there is checked: tests/data/test_download.py.
    assert not fetches(code) or name == "helpers/data/download.py"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_keep_the_rules(path):
    cells = json.loads(path.read_text("utf-8"))["cells"]
    code = "\n".join(
        "".join(c["source"]) for c in cells if c["cell_type"] == "code"
    )
    assert not list(wrong(code)) and not fetches(code)


def test_a_whole_model_with_code_in_it_is_no_file_of_weights(tmp_path):
    """Its Lambda layer would run; nothing of the model is built."""
    path, trace = tmp_path / "model.keras", tmp_path / "trace"
    code = f"lambda x: [open({str(trace)!r}, 'w'), x][1]"
    layers = [keras.Input((2,)), keras.layers.Lambda(eval(code))]
    keras.Sequential(layers).save(path)
    trace.unlink()
    keras.models.load_model(path, safe_mode=False)
    assert trace.is_file(), "the test would not notice"
    trace.unlink()
    with pytest.raises(ValueError, match="model.keras does not hold the weig"):
        backbone("EfficientNet-Lite0", str(path), 32)
    assert not trace.exists()
