"""A notebook's session: its profile, its run folder, its device, quietly."""

import importlib
import logging
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from numbers import Integral, Real
from pathlib import Path
from types import SimpleNamespace
from typing import TextIO

import pandas as pd

from helpers.paths import RUNS_DIR, atomic_write, folder

PROFILES = ("smoke", "quick", "full")

RATIOS = ("RHO", "RHOS")
"""Settings that may be fractions although the profiles' values are whole."""


@dataclass(frozen=True)
class Workspace:
    """Where one notebook ("03") writes, and with which versions it ran."""

    notebook: str
    profile: str
    run_dir: Path
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def figures(self) -> Path:
        """The run's folder of figures."""
        return self.run_dir / "figures"

    @property
    def results(self) -> Path:
        """The run's folder of result tables."""
        return self.run_dir / "results"

    def provenance(
        self,
        facts: Mapping[str, object],
        table: str | None = None,
        column: str = "provenance",
    ) -> pd.DataFrame:
        """Save facts on data and weights, and return them as a table.

        They become ``results/NN_provenance.csv``, or another ``table``, with
        the columns ``what`` and ``column``.
        """
        shown = pd.Series(facts, name=column).rename_axis("what").to_frame()
        name = table or f"{self.notebook}_provenance"
        atomic_write(self.results / f"{name}.csv", shown.to_csv())
        return shown


def begin(
    notebook: str,
    profile: str,
    run_dir: str | Path | None = None,
    threads: int | None = None,
) -> Workspace:
    """Open a notebook's session: print versions, device and profile.

    It comes before anything imports Keras, whose start is quiet then.
    ``run_dir`` is the run's folder; None stands for ``runs/interactive``.
    ``threads`` is how many cores one of TensorFlow's operations may use,
    None for all; with 1, small networks are best trained side by side. What
    is printed holds neither a path nor a time, so that stored outputs repeat.

    Raises ``ValueError`` for an unknown profile.
    """
    check_profile(profile)
    pd.set_option("display.max_colwidth", None)
    if threads:
        os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
    with _quiet_start():
        versions = _versions()
        place = _device(versions)
        from keras import config

        # What the networks are written for, whatever keras.json says.
        config.set_image_data_format("channels_last")
        config.set_floatx("float32")
    print("Versions:", ", ".join(f"{k} {v}" for k, v in versions.items()))
    print(f"Device: {place}\nProfile: {profile}")
    run_dir = RUNS_DIR / "interactive" if run_dir is None else run_dir
    return Workspace(notebook, profile, folder(run_dir), versions)


def check_profile(profile: str) -> None:
    """Raise ``ValueError`` where ``profile`` is not one of ``PROFILES``."""
    if profile not in PROFILES:
        raise ValueError(
            f"PROFILE is {profile!r}; set it to one of {', '.join(PROFILES)}"
        )


def settings(
    given: Mapping[str, object], **by_profile: object
) -> SimpleNamespace:
    """Settings of the profile, overridden by what the reader gave.

    Parameters
    ----------
    given : the notebook's parameters, ``globals()``: PROFILE, and for each
        setting a value of the reader's; None leaves the profile's own, as
        does a name that is not there
    **by_profile : for each setting a tuple with the value of each profile,
        ``(smoke, quick, full)``, or else one value for all of them

    Raises ``ValueError`` for an unknown profile, for a tuple without a value
    for each, and for a value of another kind than the profiles' own: a number
    where they have a list, a list with a value twice, a text for a number.

    >>> PROFILE, SEEDS, EPOCHS = "quick", None, 3
    >>> settings(globals(), SEEDS=([0], [0, 1], [0, 1, 2]), EPOCHS=(1, 9, 99))
    namespace(SEEDS=[0, 1], EPOCHS=3)
    """
    check_profile(profile := given["PROFILE"])
    chosen = {}
    for name, values in by_profile.items():
        values = values if isinstance(values, tuple) else (values,) * 3
        if len(values) != len(PROFILES):
            raise ValueError(
                f"{name} is {values!r}; give one value, or a tuple of three:"
                f" {', '.join(PROFILES)}"
            )
        usual = chosen[name] = values[PROFILES.index(profile)]
        if given.get(name) is not None:
            chosen[name] = given[name]
            _check_kind(name, given[name], [usual, *values])
    return SimpleNamespace(**chosen)


_KINDS = {
    bool: "True or False",
    Integral: "a whole number, 0 or above",
    Real: "a number, 0 or above",
    str: "a text",
    dict: "a dictionary",
}
"""The kinds of settings, the narrowest first."""


def _is(kind: type, value: object) -> bool:
    """Whether a value is of a kind; True is no number, and none is below 0."""
    if isinstance(value, bool):
        return kind in (bool, object)
    number = kind in (Integral, Real)
    return isinstance(value, kind) and not (number and value < 0)


def _check_kind(name: str, value: object, usual: list[object]) -> None:
    """Raise ``ValueError`` where a value is not of the usual ones' kind."""
    usual = [one for one in usual if one is not None]
    if not usual:
        return
    lists = list | tuple | range
    many = isinstance(usual[0], lists)
    items = [item for one in usual for item in one] if many else usual
    kinds = [k for k in _KINDS if items and all(_is(k, i) for i in items)]
    kind = Real if name in RATIOS else next(iter(kinds), object)
    words, wrong = _KINDS.get(kind, "anything"), None
    if many and not isinstance(value, lists):
        wrong = "a list"
    elif not all(_is(kind, item) for item in (value if many else [value])):
        wrong = f"a list, each item {words}" if many else words
    elif many and any(item in value[:k] for k, item in enumerate(value)):
        wrong = "each value only once"
    elif many and not len(value) and "number" in words and all(usual):
        wrong = "at least one value"
    if wrong:
        wrong += f", for example {usual[0]!r}"
        if isinstance(usual[0], str):
            wrong += f", in quotes: {str(value)!r}"
        elif isinstance(value, str):
            # papermill's -p takes a list for a text, -y reads it.
            wrong += f'; with papermill, -y "{name}: {usual[0]!r}"'
        raise ValueError(f"{name} is {value!r}; expected {wrong}")


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


def _device(versions: dict[str, str]) -> str:
    """The GPUs' names as the backend knows them, else the CPU's cores."""
    gpus: list[str] = []
    if "tensorflow" in versions:
        from tensorflow import config

        details = config.experimental.get_device_details
        known = config.list_physical_devices("GPU")
        gpus = [details(gpu)["device_name"] for gpu in known]
    elif "jax" in versions:
        import jax

        gpus = [d.device_kind for d in jax.devices() if d.platform == "gpu"]
    # In a container, fewer cores than the machine's may be used.
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    return ", ".join(gpus) or f"{cores} CPU cores"


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
