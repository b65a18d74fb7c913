"""Profiles, settings, the workspace, and a start that prints little."""

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import jax
import keras
import pandas as pd
import pytest
import tensorflow
from IPython.core.interactiveshell import InteractiveShell
from papermill.exceptions import strip_color

from helpers import paths, session
from helpers.data import load, red_cells
from helpers.paths import RUNS_DIR

KINDS = {
    "SEEDS": list[int],
    "EPOCHS": int,
    "SCALE": float,
    "REGIME": str,
    "NAMES": list[str],
    "DROPS": list,
    "NETWORKS": dict,
    "METHODS_OF": object,
}


def settings(profile="quick", **values):
    kinds = {name: KINDS[name] for name in values}
    parameters = {"PROFILE": profile, "__annotations__": kinds, **values}
    choices = {"REGIME": ["frozen", "fine-tuned"]}
    return session.settings(parameters, **choices)


def test_settings_are_the_profile_s_or_one_value_for_all():
    values = {"SEEDS": ([0], [1], [2]), "EPOCHS": 0, "SCALE": (1, None, 1)}
    expected = {"SEEDS": [1], "EPOCHS": 0, "SCALE": None}
    assert vars(settings(**values)) == expected
    assert settings("full", **values).SEEDS == [2]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SEEDS", range(3)),
        ("EPOCHS", 30),
        ("SCALE", 1),
        ("SCALE", 12.5),
        ("REGIME", None),
        ("NAMES", []),
        ("DROPS", []),
        ("METHODS_OF", "all"),
    ],
)
def test_settings_keep_what_is_of_their_kind(name, value):
    assert getattr(settings(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SEEDS", 5, "SEEDS is 5; expected a list"),
        ("SEEDS", (3, 4), r"SEEDS .* square brackets.* smoke, quick, full"),
        ("SEEDS", [0, 0], r"SEEDS is \[0, 0\]; expected each value only once"),
        ("SEEDS", "[0, 1]", r'a list; with papermill, -y "SEEDS: \[0, 1\]"'),
        ("SEEDS", [], "SEEDS is .*at least one"),
        ("SEEDS", [0.5], "each item a whole number, 0 or above"),
        ("SEEDS", [-1], "each item a whole number, 0 or above"),
        ("SEEDS", ["0"], "each item a whole number"),
        ("EPOCHS", "9", "expected a whole number, 0 or above"),
        ("EPOCHS", 2.5, "EPOCHS is 2.5; expected a whole number"),
        ("EPOCHS", [9], "EPOCHS is .* expected a whole number"),
        ("EPOCHS", True, "EPOCHS is True; expected a whole number"),
        ("SCALE", "all", "SCALE is 'all'; expected a number"),
        ("REGIME", 2020, "REGIME is 2020; .* in quotes: '2020'"),
        ("REGIME", "froze", "'froze'; expected one of 'frozen', 'fine-tuned'"),
        ("NAMES", "VGG16", "NAMES is 'VGG16'; expected a list"),
        ("NAMES", [1], "each item a text"),
        ("NETWORKS", "VGG16", "expected a dictionary"),
    ],
)
def test_settings_refuse_another_kind_in_one_sentence(name, value, message):
    with pytest.raises(ValueError, match=message) as caught:
        settings(**{name: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("SEED", "SEEDS"), ("EPOCS", "EPOCHS"), ("PROFIL", "PROFILE")],
)
def test_settings_refuse_a_name_that_is_nearly_a_parameter(name, meant):
    given = {"PROFILE": "quick", "SEEDS": [0], "EPOCHS": 1}
    given["__annotations__"] = {n: KINDS[n] for n in ("SEEDS", "EPOCHS")}
    others = {"METHODS": 1, "SEED_OF_FOLD": 1, "seed": 2, "_": 3}
    assert session.settings(given | others) == session.settings(given)
    with pytest.raises(ValueError, match=f"{name} is no .* mean {meant}"):
        session.settings(given | {name: 5})


@pytest.fixture
def shell(monkeypatch):
    """IPython, in which a session has begun; a function that runs a cell."""
    shell = InteractiveShell()
    monkeypatch.setattr(session, "get_ipython", lambda: shell)
    session.begin("00", "smoke")
    shown = []
    shell._showtraceback = lambda *error: shown.extend(error[2])

    def run(cell):
        shown.clear()
        shell.run_cell(cell)
        return strip_color("\n".join(shown))

    return run


def test_what_the_helpers_refuse_is_shown_in_few_lines(shell):
    """With the reader's own lines, whether it comes from another error."""
    shell("from helpers import data, session")
    shown = shell(
        "PROFILE = 'fast'\ndef f():\n    session.settings(globals())"
    )
    assert shown == ""
    shown = shell("f()")
    assert "session.settings(globals())" in shown and "f()" in shown
    assert shown.endswith(
        "PROFILE is 'fast'; expected one of 'smoke', 'quick', 'full'"
    )
    assert "session.py" not in shown
    shown = shell("data.load('nowhere')")
    assert "FileNotFoundError: no data set 'nowhere'" in shown
    assert shown.count("\n") < 8
    # Of a library's errors, all is shown.
    assert "decoder.py" in shell("import json\njson.loads('{')")


def test_another_keras_json_changes_nothing(tmp_path):
    keras.config.set_image_data_format("channels_first")
    keras.config.set_floatx("float16")
    session.begin("00", "smoke", tmp_path)
    assert keras.config.image_data_format() == "channels_last"
    assert keras.config.floatx() == "float32"


@pytest.fixture
def float32():
    yield
    keras.config.set_dtype_policy("float32")


def test_mixed_precision_is_asked_for_told_and_kept_from_papers(
    tmp_path, monkeypatch, capsys, float32
):
    for given, named in (("", None), ("mixed_bfloat16", "mixed_bfloat16")):
        monkeypatch.setenv("WORKBOOK_PRECISION", given)
        begun = session.begin("03", "smoke", tmp_path)
        assert keras.config.dtype_policy().name == (named or "float32")
        assert begun.versions.get("precision") == named
        told = f"Precision: {named}; published"
        assert (told in capsys.readouterr().out) == bool(given)
    for given, profile in (("mixed_bfloat16", "full"), ("half", "smoke")):
        monkeypatch.setenv("WORKBOOK_PRECISION", given)
        with pytest.raises(ValueError, match=f"PRECISION is '{given}'; unset"):
            session.begin("03", profile, tmp_path)


def test_every_row_names_its_device_and_memory_grows(tmp_path, monkeypatch):
    switches = "TF_FORCE_GPU_ALLOW_GROWTH", "XLA_PYTHON_CLIENT_PREALLOCATE"
    for switch in switches:
        monkeypatch.delenv(switch, raising=False)
    begun = session.begin("03", "smoke", tmp_path)
    assert re.fullmatch(r"\d+ CPU cores", begun.versions["device"])
    assert [os.environ[switch] for switch in switches] == ["true", "false"]
    # As the backends tell it of GPUs.
    config, named = tensorflow.config, {"device_name": "H100"}
    monkeypatch.setattr(config, "list_physical_devices", lambda _: [1, 2])
    monkeypatch.setattr(
        config.experimental, "get_device_details", lambda _: named
    )
    monkeypatch.setattr(
        tensorflow.sysconfig, "get_build_info", lambda: {"cuda_version": "12"}
    )
    told = session.begin("03", "smoke", tmp_path).versions["device"]
    assert told == "H100, H100, CUDA 12"
    client = SimpleNamespace(platform_version="PJRT C API\ncuda 12080")
    gpu = SimpleNamespace(platform="gpu", device_kind="H200", client=client)
    monkeypatch.setattr(jax, "devices", lambda: [gpu])
    assert session._device({"jax": "1"}) == "H200, PJRT C API cuda 12080"


@pytest.mark.skipif(os.name == "nt", reason="a script needs a shell")
def test_a_table_of_speed_names_the_driver(tmp_path, monkeypatch):
    monkeypatch.setattr(session.shutil, "which", lambda name: None)
    told = session.hardware()
    assert told == {
        "device": session.device(),
        "driver": "",
        "backend": keras.backend.backend(),
    }
    script = tmp_path / "nvidia-smi"
    script.write_text("#!/bin/sh\necho 580.159.04; echo 580.159.04\n")
    script.chmod(0o755)
    monkeypatch.setattr(session.shutil, "which", lambda name: str(script))
    assert session.hardware() == told | {"driver": "580.159.04"}
    script.write_text("#!/bin/sh\necho NVIDIA-SMI has failed; exit 9\n")
    assert session.hardware() == told


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert paths.folder("~/data") == tmp_path.resolve() / "data"
    assert paths.data_folder("~/data") == tmp_path / "data"
    assert paths.data_folder() == paths.DATA_DIR
    begun = session.begin("00", "smoke", "~/run")
    assert begun.run_dir == tmp_path.resolve() / "run"
    for loader in (red_cells.load_cells, lambda d: load("mine", d)):
        with pytest.raises(FileNotFoundError, match=str(tmp_path / "data")):
            loader("~/data")


def test_provenance_is_saved_and_returned(tmp_path):
    workspace = session.Workspace("03", "smoke", tmp_path)
    shown = workspace.provenance({"name": "digits", "used": 3}).data
    assert "| name | digits |\n| used | 3 |" in shown
    text = (tmp_path / "results" / "03_provenance.csv").read_text()
    assert text == "what,provenance\nname,digits\nused,3\n"
    workspace.provenance({"name": "digits"}, "03_digits", column="value")
    text = (tmp_path / "results" / "03_digits.csv").read_text()
    assert text == "what,value\nname,digits\n"


def test_a_table_of_texts_is_markdown_that_shows_them_as_they_are():
    table = {"it": ["a|b\n*c*", "_d"], "f_1": [0.25, None]}
    shown = session.text_table(pd.DataFrame(table)).data
    assert shown == (
        "| it | f_1 |\n| :-- | :-- |\n"
        "| a&#124;b &#42;c&#42; | 0.25 |\n| &#95;d | – |"
    )


def test_begin_prints_three_repeatable_lines(tmp_path, monkeypatch, capfd):
    with pytest.raises(ValueError, match="PROFILE is 'Quick'"):
        session.begin("03", "Quick")
    monkeypatch.chdir(tmp_path)
    workspace = session.begin("03", "smoke", "runs/mine")
    first = capfd.readouterr()
    session.begin("03", "smoke", tmp_path)
    assert capfd.readouterr().out == first.out
    lines = first.out.splitlines()
    heads = [line.split(":")[0] for line in lines]
    assert heads == ["Versions", "Device", "Profile", "Smoke profile"]
    assert "/" not in first.out
    assert workspace.run_dir == tmp_path / "runs" / "mine"
    assert workspace.versions["keras"] in lines[0]
    default = session.begin("03", "smoke")
    assert default.run_dir == RUNS_DIR / "interactive"
    # Refused at once, and not when the first result is there.
    taken = tmp_path / "file"
    taken.write_text("of somebody")
    with pytest.raises(OSError, match="RUN_DIR: no results .*file .* another"):
        session.begin("03", "smoke", taken)
    assert taken.read_text() == "of somebody"


def test_begin_is_silent_in_a_fresh_process(tmp_path):
    """Where Python is interactive, TensorFlow's import makes it talk."""
    code = f"""import sys, logging; sys.ps1 = '>'
from helpers import session
session.begin('09', 'smoke', {str(tmp_path)!r})
print(logging.getLogger('tensorflow').level == logging.ERROR)"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "True"


def test_a_failing_start_shows_what_was_held_back(capfd, monkeypatch):
    def broken():
        import os

        os.write(2, b"driver too old\n")
        raise RuntimeError("no device")

    monkeypatch.setattr(session, "_versions", broken)
    with pytest.raises(RuntimeError, match="no device"):
        session.begin("03", "smoke")
    assert capfd.readouterr().err == "driver too old\n"


def test_conclusions_are_printed_listed_and_saved(
    tmp_path, capsys, monkeypatch
):
    workspace = session.Workspace("03", "smoke", tmp_path)
    (tmp_path / "results").mkdir()
    workspace.conclude("One, first.", "Two.")
    workspace.conclude("Two.")
    assert capsys.readouterr().out == "One, first.\nTwo.\nTwo.\n"
    said = []
    monkeypatch.setattr(session, "display", lambda shown: said.append(shown))
    workspace.what_we_saw()
    assert said[0].data.startswith("Smoke profile: a test that the code runs")
    assert said[0].data.endswith("nothing.\n\n- One, first.\n- Two.")
    table = pd.read_csv(tmp_path / "results" / "03_conclusions.csv")
    assert table.conclusion.tolist() == ["One, first.", "Two."]
