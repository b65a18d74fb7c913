"""A notebook's session: its profile, its run folder, its device, quietly."""

import difflib
import importlib
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from numbers import Integral, Real
from pathlib import Path
from traceback import walk_tb
from types import SimpleNamespace
from typing import TextIO, get_args, get_origin

import pandas as pd
from IPython import get_ipython
from IPython.display import Markdown, display

from helpers.paths import ROOT, RUNS_DIR, STAGING, atomic_write, folder

PROFILES = ("smoke", "quick", "full")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
"""What ``WORKBOOK_PRECISION`` may be: Keras' dtype policies."""
OF_SMOKE = (
    "Smoke profile: a test that the code runs; its numbers and intervals mean"
    " nothing."
)


@dataclass(frozen=True)
class Workspace:
    """Where one notebook ("03") writes, and with which versions it ran."""

    notebook: str
    profile: str
    run_dir: Path
    versions: dict[str, str] = field(default_factory=dict)
    conclusions: list[str] = field(default_factory=list)

    @property
    def figures(self) -> Path:
        """The run's folder of figures."""
        return self.run_dir / "figures"

    @property
    def results(self) -> Path:
        """The run's folder of result tables."""
        return self.run_dir / "results"

    @property
    def run_results(self) -> Path:
        """Where the notebooks that ran before this one left their tables.

        The runner lets each notebook write in a folder of its own first.
        """
        staging = self.run_dir.parent
        own = staging.name != STAGING
        return self.results if own else staging.parent / "results"

    def provenance(
        self,
        facts: Mapping[str, object],
        table: str | None = None,
        column: str = "provenance",
    ) -> Markdown:
        """Save facts on data and weights, and return them to be shown.

        They become ``results/NN_provenance.csv``, or another ``table``, with
        the columns ``what`` and ``column``.
        """
        facts = pd.Series(facts, name=column).rename_axis("what")
        name = table or f"{self.notebook}_provenance"
        atomic_write(self.results / f"{name}.csv", facts.to_csv())
        return text_table(facts.reset_index())

    def conclude(self, *sentences: str) -> None:
        """Print what a result shows, and keep it for `what_we_saw`.

        A sentence said again, by a cell that is run twice, is kept once.
        """
        for sentence in sentences:
            print(sentence)
            if sentence not in self.conclusions:
                self.conclusions.append(sentence)

    def what_we_saw(self) -> None:
        """Show all conclusions as a list, and save them as a table.

        They become ``results/NN_conclusions.csv``, a row a sentence.
        """
        table = pd.DataFrame({"conclusion": self.conclusions})
        path = self.results / f"{self.notebook}_conclusions.csv"
        atomic_write(path, table.to_csv(index=False))
        lines = [OF_SMOKE + "\n"] if self.profile == "smoke" else []
        lines += [f"- {sentence}" for sentence in self.conclusions]
        display(Markdown("\n".join(lines)))


def text_table(table: pd.DataFrame) -> Markdown:
    """A table of texts for a notebook: left-aligned, its index left out.

    It is Markdown, since neither GitHub nor JupyterLab aligns the text of a
    pandas table to the left. What is missing comes out as "–".
    """
    shown = table.astype(object).where(table.notna(), "–").astype(str)
    rows = [shown.columns, [":--"] * shown.shape[1], *shown.to_numpy()]
    return Markdown(
        "\n".join(f"| {' | '.join(map(_plain, row))} |" for row in rows)
    )


def _plain(text: str) -> str:
    """A text that Markdown shows as it is, within a cell of a table."""
    text = " ".join(text.split())
    return re.sub(r"[&<>|*$`\\~]|\b_|_\b", lambda c: f"&#{ord(c[0])};", text)


def begin(
    notebook: str,
    profile: str,
    run_dir: str | Path | None = None,
) -> Workspace:
    """Open a notebook's session: print versions, device and profile.

    It comes before anything imports Keras, whose start is quiet then.
    ``run_dir`` is the run's folder; None stands for ``runs/interactive``.
    What is printed holds neither a path nor a time, so that stored outputs
    repeat.

    A GPU's memory is taken as it is needed, so that several processes can
    share one. The environment variable ``WORKBOOK_PRECISION`` may name a
    mixed precision of Keras, which is faster on some GPUs; every result row
    then says so.

    Raises ``ValueError`` for an unknown profile or precision, and for a mixed
    one with the full profile, which repeats the papers' trainings; ``OSError``
    where the run's folder cannot be written.
    """
    if shell := get_ipython():
        shell.set_custom_exc((ValueError, OSError), _show_briefly)
    _check_choice("PROFILE", profile, PROFILES)
    precision = os.environ.get("WORKBOOK_PRECISION") or "float32"
    if precision not in PRECISIONS[: 1 if profile == "full" else None]:
        raise ValueError(
            f"WORKBOOK_PRECISION is {precision!r}; unset it (float32), as the "
            "full profile repeats what papers did in float32, or set it to "
            f"one of {', '.join(PRECISIONS)} with another profile"
        )
    # Read when the backend starts: TensorFlow's, then JAX'.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    pd.set_option("display.max_colwidth", None)
    with _quiet_start():
        versions = _versions()
        place = _device(versions)
        from keras import config

        # What the networks are written for, whatever keras.json says.
        config.set_image_data_format("channels_last")
        config.set_floatx("float32")
        config.set_dtype_policy(precision)
    print("Versions:", ", ".join(f"{k} {v}" for k, v in versions.items()))
    print(f"Device: {place}\nProfile: {profile}")
    versions["device"] = place  # into every result row
    if precision != "float32":
        print(f"Precision: {precision}; published numbers are of float32.")
        versions["precision"] = precision
    if profile == "smoke":
        print(OF_SMOKE)
    run_dir = folder(RUNS_DIR / "interactive" if run_dir is None else run_dir)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=run_dir).close()
    except OSError as error:
        raise OSError(
            f"RUN_DIR: no results can be written into {run_dir} ({error});"
            " name another folder"
        ) from error
    return Workspace(notebook, profile, run_dir, versions)


def _show_briefly(shell, kind, error, trace, tb_offset=None) -> None:
    """Show what the helpers refuse: the reader's line, and a sentence.

    An error that comes from elsewhere keeps its whole traceback.
    """
    files = [frame.f_code.co_filename for frame, _ in walk_tb(trace)]
    ours = [Path(file).is_relative_to(ROOT / "helpers") for file in files]
    if ours[-1]:
        readers = trace
        for _ in range(ours.index(True) - 1):
            readers = readers.tb_next
        readers.tb_next = error.__cause__ = None
        error.__suppress_context__ = True
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset)


def settings(
    parameters: Mapping[str, object], **choices: Collection[str]
) -> SimpleNamespace:
    """A notebook's settings: its annotated parameters, for its profile.

    Parameters
    ----------
    parameters : the notebook's ``globals()``, with PROFILE. A tuple has a
        value for each profile, ``(smoke, quick, full)``; anything else, such
        as what a reader or papermill puts there, is the value. A parameter's
        annotation is its kind
    **choices : for parameters that are texts, the texts to choose from

    Raises ``ValueError`` for an unknown profile, a name that is nearly a
    parameter's, a tuple without a value for each, a value of another kind
    than its annotation, a list with a value twice or without any number, and
    a text that is none of the choices.

    >>> PROFILE = "quick"
    >>> SEEDS: list[int] = ([0], [0, 1], [0, 1, 2])
    >>> EPOCHS: int = 3
    >>> settings(globals())
    namespace(SEEDS=[0, 1], EPOCHS=3)
    """
    _check_choice("PROFILE", parameters["PROFILE"], PROFILES)
    place, chosen = PROFILES.index(parameters["PROFILE"]), {}
    kinds = parameters["__annotations__"]
    known = [*kinds, "PROFILE", "DATA_DIR", "RUN_DIR"]
    for name in filter(str.isupper, parameters.keys() - set(known)):
        if meant := difflib.get_close_matches(name, known, 1, 0.85):
            raise ValueError(
                f"{name} is no parameter of this notebook; did you mean"
                f" {meant[0]}? Restart the kernel after the change"
            )
    for name, kind in kinds.items():
        value = parameters[name]
        if isinstance(value, tuple):
            if len(value) != len(PROFILES):
                raise ValueError(
                    f"{name} is {value!r}; give one value (a list in square"
                    f" brackets) or a tuple of three: {', '.join(PROFILES)}"
                )
            value = value[place]
        if value is not None:
            _check_kind(name, value, kind)
            if name in choices:
                _check_choice(name, value, choices[name])
        chosen[name] = value
    return SimpleNamespace(**chosen)


_KINDS = {
    bool: ("True or False", lambda v: isinstance(v, bool)),
    int: ("a whole number, 0 or above", lambda v: _is(Integral, v)),
    float: ("a number, 0 or above", lambda v: _is(Real, v)),
    str: ("a text", lambda v: isinstance(v, str)),
    dict: ("a dictionary", lambda v: isinstance(v, dict)),
    object: ("anything", lambda v: True),
}


def _is(number: type, value: object) -> bool:
    is_number = isinstance(value, number) and not isinstance(value, bool)
    return is_number and value >= 0


def _check_kind(name: str, value: object, kind: type) -> None:
    """Raise ``ValueError`` where a value is not of its annotation's kind."""
    many = get_origin(kind) is list or kind is list
    item = (*get_args(kind), object)[0] if many else kind
    expected, fits = _KINDS[item]
    if many and not isinstance(value, list | range):
        expected = "a list"
    elif not all(map(fits, value if many else [value])):
        expected = f"a list, each item {expected}" if many else expected
    elif many and any(one in value[:k] for k, one in enumerate(value)):
        expected = "each value only once"
    elif item in (int, float) and many and not len(value):
        expected = "at least one value"
    else:
        return
    if kind is str:
        expected += f", in quotes: {str(value)!r}"
    elif isinstance(value, str) and value.startswith(("[", "{")):
        # papermill's -p takes a list for a text, -y reads it.
        expected += f'; with papermill, -y "{name}: {value}"'
    raise ValueError(f"{name} is {value!r}; expected {expected}")


def _check_choice(name: str, value: str, choices: Collection[str]) -> None:
    if value not in choices:
        known = ", ".join(map(repr, choices))
        raise ValueError(f"{name} is {value!r}; expected one of {known}")


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Keep the native libraries' start-up lines off the notebook.

    They are logged to file descriptor 2, and no environment variable stops
    that. What was held back is shown where the start fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        original = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
            # It warns of every fifth tracing, which many small models need;
            # in a notebook its import makes it talk again.
            logging.getLogger("tensorflow").setLevel(logging.ERROR)
        except BaseException:
            held.seek(0)
            os.write(original, held.read())
            raise
        finally:
            os.dup2(original, 2)
            os.close(original)


def _versions() -> dict[str, str]:
    """Versions of what decides a result; starts the backend's device."""
    import keras

    keras.ops.zeros(1)
    backend = keras.backend.backend()
    return {
        "python": platform.python_version(),
        "keras": keras.__version__,
        backend: importlib.import_module(backend).__version__,
        "numpy": version("numpy"),
        "scikit-learn": version("scikit-learn"),
    }


def device() -> str:
    """Where Keras computes: "2 CPU cores, tensorflow 2.21.0, keras 3.15.1"."""
    versions = _versions()
    names = [n for n in ("tensorflow", "jax", "keras") if n in versions]
    used = [f"{name} {versions[name]}" for name in names]
    return ", ".join([_device(versions), *used])


def hardware() -> dict[str, str]:
    """Columns of a table of speed: device, driver (nvidia-smi's), backend."""
    from keras import backend

    told = ""
    if command := shutil.which("nvidia-smi"):
        ask = [command, "--query-gpu=driver_version", "--format=csv,noheader"]
        done = subprocess.run(ask, capture_output=True, text=True, timeout=60)
        # Without a driver it says so at length, and fails.
        told = "" if done.returncode else done.stdout.partition("\n")[0]
    return {
        "device": device(),
        "driver": told.strip(),
        "backend": backend.backend(),
    }


def _device(versions: dict[str, str]) -> str:
    """The GPUs' names as the backend knows them, else the CPU's cores.

    Behind them stands what it tells of the driver.
    """
    gpus: list[str] = []
    if "tensorflow" in versions:
        from tensorflow import config, sysconfig

        details = config.experimental.get_device_details
        known = config.list_physical_devices("GPU")
        gpus = [details(gpu)["device_name"] for gpu in known]
        built = sysconfig.get_build_info()
        gpus += [f"CUDA {built['cuda_version']}"] if gpus else []
    elif "jax" in versions:
        import jax

        known = [d for d in jax.devices() if d.platform == "gpu"]
        gpus = [d.device_kind for d in known]
        gpus += [
            " ".join(d.client.platform_version.split()) for d in known[:1]
        ]
    # In a container, fewer cores than the machine's may be used.
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    return " ".join(", ".join(gpus).split()) or f"{cores} CPU cores"


def say(text: str, stream: TextIO | None = None) -> None:
    r"""Print a text to ``stream``, by default to standard output.

    Characters outside a terminal's encoding come out as escapes, such as
    ``\u0394``, and what cannot be written at all is dropped.
    """
    any_text()
    stream = sys.stdout if stream is None else stream
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        # Python would complain again when it flushes the stream at its end.
        with suppress(OSError), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
    except (OSError, ValueError):
        pass


def any_text() -> None:
    """Let ``print`` and argparse's help escape instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
