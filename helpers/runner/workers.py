"""Who executes the notebooks: this process, or the workers of a cluster.

Workers are Dask's, each of them a process that executes one notebook at a
time. Where one is lost, Dask has its notebook executed by another.
"""

import logging
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING

from helpers import paths
from helpers.runner import kernel
from helpers.runner.folder import code_digest, versions
from helpers.runner.kernel import Interrupted
from helpers.runner.notebooks import Refused

if TYPE_CHECKING:
    from distributed import Client, SpecCluster

HOST = "127.0.0.1"
SECONDS = 30
"""How long a cluster may take to answer."""


class Here:
    """Executes in this process, while it is asked to."""

    def slots(self) -> int:
        """How many notebooks may be executed at a time."""
        return 1

    def submit(self, function: Callable, *args: object) -> Future:
        """Call a function, and return a future that is done."""
        future = Future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future


class There(Here):
    """Executes on a cluster, one notebook on a worker."""

    def __init__(self, client: "Client") -> None:
        self.client, self.executor = client, client.get_executor(pure=False)

    def slots(self) -> int:
        """As many as there are workers; one that has died is replaced."""
        with suppress(Exception):  # of a scheduler that has died
            return max(1, len(self.client.nthreads()))
        return 1

    def submit(self, function: Callable, *args: object) -> Future:
        """Have a function called; returns its future."""
        if self.client.status != "running":
            raise CancelledError
        return self.executor.submit(function, *args)


@contextmanager
def workers(jobs: int, scheduler: str | None, root: Path) -> Iterator[Here]:
    """What executes notebooks: ``jobs`` processes, or a cluster.

    ``root`` is the run's folder, which all workers have to see. Raises
    ``Refused`` where a cluster does not answer or does not fit.
    """
    if jobs == 1 and not scheduler:
        yield Here()
        return
    from distributed import Client

    place = nullcontext(scheduler) if scheduler else _local(jobs)
    with place as cluster, ExitStack() as stack:
        try:
            client = Client(cluster, timeout=SECONDS, set_as_default=False)
            stack.callback(client.close, timeout=1)
            client.wait_for_workers(1, timeout=SECONDS)
        except (OSError, ValueError) as error:
            raise Refused(f"--scheduler {scheduler}: {error}") from error
        if scheduler:
            _check(client, scheduler, root)
        try:
            yield There(client)
        except Interrupted:
            with suppress(Exception):
                client.run(kernel.kill_below, root, on_error="ignore")
            raise


@contextmanager
def _local(jobs: int) -> Iterator["SpecCluster"]:
    """A cluster that nobody outside this machine can reach.

    Its other users can, and could have code executed.
    """
    import dask
    from distributed import Nanny, Scheduler, SpecCluster

    usual = {"host": HOST, "dashboard": False}
    more = {"nthreads": 1, "memory_limit": 0, "silence_logs": logging.CRITICAL}
    specs = {
        number: {"cls": Nanny, "options": {**usual, **more, "env": env}}
        for number, env in enumerate(environments(jobs, gpus()))
    }
    head = {"dashboard_address": f"{HOST}:0", **usual}
    config = {
        f"distributed.{it}.http.routes": [] for it in ("worker", "scheduler")
    }
    # Dask would allow a worker, and so its kernel, one thread.
    config["distributed.nanny.pre-spawn-environ"] = {}
    cluster = None
    try:
        with dask.config.set(config), _signals_held():
            cluster = SpecCluster(
                workers=specs,
                scheduler={"cls": Scheduler, "options": head},
                silence_logs=logging.CRITICAL,
            )
        yield cluster
    finally:
        with suppress(Exception):
            cluster.close(timeout=5)


@contextmanager
def _signals_held() -> Iterator[None]:
    """What is started here and in its threads gets no Ctrl-C and no hang-up.

    A terminal sends them to all processes; the runner's own comes later.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    held = set(kernel.SIGNALS) - {signal.SIGTERM}
    resource_tracker.ensure_running()  # it would let them through again
    signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, held)


def environments(jobs: int, gpus: Sequence[str]) -> list[dict[str, str]]:
    """The environment of each of so many workers: one GPU, if there are any.

    Where there are fewer GPUs than workers, some share one. Cores are not
    divided: the number of threads decides how sums are rounded, so that a
    notebook with a core of its own would give other numbers than a serial run.
    """
    found = []
    for job in range(jobs):
        env = {"TQDM_DISABLE": "1"}
        if gpus:
            env |= {"CUDA_VISIBLE_DEVICES": gpus[job % len(gpus)]}
        found.append(env)
    return found


def gpus() -> list[str]:
    """The NVIDIA GPUs that this process may use, by number or name."""
    if (given := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [gpu for gpu in given.split(",") if gpu]
    if not (command := shutil.which("nvidia-smi")):
        return []
    listed = subprocess.run([command, "-L"], capture_output=True, text=True)
    lines = [line for line in listed.stdout.splitlines() if line[:3] == "GPU"]
    return [str(number) for number in range(len(lines))]


def _check(client: "Client", scheduler: str, root: Path) -> None:
    """Refuse a cluster whose workers are not as this process."""
    token = paths.atomic_write(root / paths.STAGING / uuid.uuid4().hex, "")
    here = _facts(token)
    try:
        there = client.run(_facts, token)
    except Exception as error:
        raise Refused(
            f"--scheduler {scheduler}: its workers cannot use this project"
            f" ({error}); start them in the project's root"
        ) from error
    for worker, facts in there.items():
        other = [what for what in here if facts.get(what) != here[what]]
        if client.nthreads()[worker] > 1:
            other.append("--nthreads 1 (a process for each notebook)")
        if other:
            raise Refused(
                f"--scheduler {scheduler}: the worker {worker} does not have"
                f" {', '.join(other)}"
            )


def _facts(token: Path) -> dict[str, object]:
    """What has to be the same on all machines, by its name in words."""
    return {
        f"the run's folder {token.parents[1]}": token.is_file(),
        "the same helpers and published tables": code_digest(),
        "the same package versions": versions(),
        "the same KERAS_BACKEND": os.environ.get("KERAS_BACKEND"),
        "the same WORKBOOK_DATA": str(paths.DATA_DIR),
    }
