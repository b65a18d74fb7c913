"""A notebook's session: its profile, its run folder, its device, quietly."""

import importlib
import logging
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from numbers import Integral, Real
from pathlib import Path
from types import SimpleNamespace

from helpers.paths import RUNS_DIR

PROFILES = ("smoke", "quick", "full")

RATIOS = ("RHO", "RHOS")
"""Settings that may be fractions although the profiles' values are whole."""

_KERAS = {"image_data_format": "channels_last", "floatx": "float32"}
"""What the networks are written for; ``keras.json`` may say otherwise."""


@dataclass(frozen=True)
class Workspace:
    """Where one notebook writes, and with which versions it ran.

    ``notebook`` is its number ("03"), ``versions`` maps a package to its
    version. The two folders are made when they are first asked for.
    """

    notebook: str
    profile: str
    run_dir: Path
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def figures(self) -> Path:
        """The run's folder of figures."""
        return self._made("figures")

    @property
    def results(self) -> Path:
        """The run's folder of result tables."""
        return self._made("results")

    def _made(self, name: str) -> Path:
        folder = self.run_dir / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def begin(
    notebook: str,
    profile: str,
    run_dir: str | Path | None = None,
    threads: int | None = None,
) -> Workspace:
    """Open a notebook's session: print versions, device and profile.

    ``run_dir`` is the run's folder; None stands for ``runs/interactive``,
    and a relative one is taken from the current directory. ``threads`` is
    how many cores one of TensorFlow's operations may use, None for all; with
    1, small networks are best trained side by side. What is printed holds
    neither a path nor a time, so that stored outputs repeat.

    Raises ``ValueError`` for an unknown profile, and where Keras is set up
    to compute in another way than the workbook expects.
    """
    check_profile(profile)
    folder = RUNS_DIR / "interactive" if run_dir is None else Path(run_dir)
    if threads:
        os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
    with _quiet_start():
        versions = _versions()
        device = _device(versions)
    _check_keras()
    named = ", ".join(f"{name} {number}" for name, number in versions.items())
    print(f"Versions: {named}")
    print(f"Device: {device}")
    print(f"Profile: {profile}")
    folder = folder.expanduser().resolve()
    return Workspace(notebook, profile, folder, versions)


def check_profile(profile: str) -> None:
    """Raise ``ValueError`` where ``profile`` is not one of ``PROFILES``."""
    if profile not in PROFILES:
        raise ValueError(
            f"PROFILE is {profile!r}; set it to one of {', '.join(PROFILES)}"
        )


def settle(
    profile: str, given: dict[str, object], **by_profile: dict[str, object]
) -> SimpleNamespace:
    """Settings of a profile, overridden by what the reader gave.

    ``by_profile`` holds one dictionary of settings for each profile, all
    with the same names; a value of ``given`` that is None leaves the
    profile's own.

    >>> settings = settle(
    ...     "quick",
    ...     {"SEEDS": None, "EPOCHS": 3},
    ...     smoke={"SEEDS": [0], "EPOCHS": 1},
    ...     quick={"SEEDS": [0, 1], "EPOCHS": 9},
    ...     full={"SEEDS": [0, 1, 2], "EPOCHS": 99},
    ... )
    >>> settings.SEEDS, settings.EPOCHS
    ([0, 1], 3)

    Raises ``ValueError`` for an unknown profile, for a profile without
    settings, for a given name that the profiles do not settle, and for a
    value of another kind than the profiles' own: a number where they have a
    list, a list with the same value twice, a text where they have a number.
    """
    check_profile(profile)
    missing = sorted(set(PROFILES) - set(by_profile))
    if missing:
        raise ValueError(f"no settings for the profiles {', '.join(missing)}")
    names = {name for settings in by_profile.values() for name in settings}
    for key, settings in by_profile.items():
        if lacking := sorted(names - set(settings)):
            raise ValueError(f"profile {key} does not settle {lacking}")
    if unknown := sorted(set(given) - names):
        raise ValueError(
            f"unknown settings {unknown}; there are {sorted(names)}"
        )
    chosen = {k: v for k, v in given.items() if v is not None}
    order = [profile, *(key for key in by_profile if key != profile)]
    for name, value in chosen.items():
        _check_kind(name, value, [by_profile[key][name] for key in order])
    return SimpleNamespace(**(by_profile[profile] | chosen))


def _whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


_KINDS = {
    "True or False": lambda value: isinstance(value, bool),
    "a whole number, 0 or above": lambda v: _whole(v) and v >= 0,
    "a number, 0 or above": lambda v: _number(v) and v >= 0,
    "a text": lambda value: isinstance(value, str),
    "a dictionary": lambda value: isinstance(value, dict),
}
"""The kinds of settings, the narrowest first."""


def _check_kind(name: str, value: object, usual: list[object]) -> None:
    """Raise ``ValueError`` where a value is not of the usual ones' kind."""
    usual = [own for own in usual if own is not None]
    if not usual:
        return
    wrong = f"{name} is {value!r}; expected "
    as_here = f", for example {usual[0]!r}"
    if isinstance(value, str):
        # papermill's -p takes a list for a text, -y reads it.
        as_here += f'; with papermill, -y "{name}: {usual[0]!r}"'
    if not _listed(usual[0]):
        kind = _kind_of(name, usual)
        if isinstance(usual[0], str):
            as_here = f", in quotes: {str(value)!r}"
        if kind and not _KINDS[kind](value):
            raise ValueError(f"{wrong}{kind}{as_here}")
        return
    kind = _kind_of(name, [item for own in usual for item in own])
    if not _listed(value):
        raise ValueError(f"{wrong}a list{as_here}")
    if kind and not all(map(_KINDS[kind], value)):
        raise ValueError(f"{wrong}a list, each item {kind}{as_here}")
    if any(item in value[:k] for k, item in enumerate(value)):
        raise ValueError(f"{wrong}each value only once")
    if not len(value) and kind and "number" in kind and all(map(len, usual)):
        raise ValueError(f"{wrong}at least one value{as_here}")


def _listed(value: object) -> bool:
    return isinstance(value, (list, tuple, range))


def _kind_of(name: str, values: list[object]) -> str | None:
    """The narrowest kind that all the values have, or None."""
    if name in RATIOS:
        return "a number, 0 or above"
    fitting = (k for k, fits in _KINDS.items() if all(map(fits, values)))
    return next(fitting, None) if values else None


def _check_keras() -> None:
    """Raise ``ValueError`` for settings under which results would differ."""
    from keras import config

    for name, usual in _KERAS.items():
        if (found := getattr(config, name)()) != usual:
            raise ValueError(
                f"Keras is set to {name} = {found!r} and the workbook needs"
                f" {usual!r}: change it in ~/.keras/keras.json (or in the"
                " folder that KERAS_HOME names), then restart the kernel"
            )


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Keep the native libraries' start-up lines off the notebook.

    TensorFlow logs to file descriptor 2 before its logging is set up, and
    no environment variable stops that. What was held back is shown where
    the start fails.
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
    """Where Keras computes, and with what, as a result names it.

    "2 CPU cores, tensorflow 2.21.0, keras 3.15.1", or the GPUs' names.
    """
    versions = _versions()
    backend = keras_backend()
    return (
        f"{_device(versions)}, {backend} {versions[backend]}, "
        f"keras {versions['keras']}"
    )


def keras_backend() -> str:
    """Keras' backend: "tensorflow", the default, or "jax"."""
    import keras

    return keras.backend.backend()


def _device(versions: dict[str, str]) -> str:
    """The GPUs' names as the backend knows them, else the CPU's cores."""
    gpus: list[str] = []
    if "tensorflow" in versions:
        import tensorflow as tf

        gpus = [
            tf.config.experimental.get_device_details(gpu)["device_name"]
            for gpu in tf.config.list_physical_devices("GPU")
        ]
    elif "jax" in versions:
        import jax

        gpus = [d.device_kind for d in jax.devices() if d.platform == "gpu"]
    return ", ".join(gpus) or f"{_cores()} CPU cores"


def _cores() -> int:
    """Cores this process may use, fewer than the machine's in a container."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
