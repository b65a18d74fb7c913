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
from pathlib import Path
from types import SimpleNamespace

from helpers.paths import RUNS_DIR

PROFILES = ("smoke", "quick", "full")


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

    Raises ``ValueError`` for an unknown profile.
    """
    check_profile(profile)
    folder = RUNS_DIR / "interactive" if run_dir is None else Path(run_dir)
    if threads:
        os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
    with _quiet_start():
        versions = _versions()
        device = _device(versions)
    named = ", ".join(f"{name} {number}" for name, number in versions.items())
    print(f"Versions: {named}")
    print(f"Device: {device}")
    print(f"Profile: {profile}")
    return Workspace(notebook, profile, folder.resolve(), versions)


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
    settings and for a given name that the profiles do not settle.
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
    return SimpleNamespace(**(by_profile[profile] | chosen))


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
