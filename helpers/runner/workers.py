"""Who executes the notebooks: threads of this process, or a Dask cluster.

A notebook's kernel is a process of its own, so that a thread, which waits for
it, is enough to run one beside another. Nothing listens on a port for that.
A cluster's workers may be on other machines; where one is lost, Dask has its
notebook executed by another.
"""

import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import (
    CancelledError,
    Future,
    ThreadPoolExecutor,
    wait,
)
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from helpers import paths
from helpers.runner import kernel
from helpers.runner.folder import code_digest, versions
from helpers.runner.notebooks import Refused

if TYPE_CHECKING:
    from distributed import Client

SECONDS = 30
"""How long a cluster may take to answer."""


class Here:
    """Executes on this machine, so many notebooks at a time.

    From two on, each gets one GPU, if there are any; where there are fewer
    GPUs than notebooks, some share one. Cores are not divided: the number of
    threads decides how sums are rounded, so that a notebook with a core of
    its own would give other numbers than a serial run.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs, self.futures = jobs, set()
        self.threads = ThreadPoolExecutor(jobs)
        self.free: SimpleQueue[str | None] = SimpleQueue()
        found = gpus() if jobs > 1 else []
        for job in range(jobs):
            self.free.put(found[job % len(found)] if found else None)

    def slots(self) -> int:
        """How many notebooks may be executed at a time."""
        return self.jobs

    def submit(self, function: Callable, *args: object) -> Future:
        """Have a function called; returns its future."""

        def call():
            gpu = self.free.get()
            try:
                return function(*args, gpu=gpu)
            finally:
                self.free.put(gpu)

        future = self.threads.submit(call)
        self.futures.add(future)
        return future

    def stop(self, root: Path) -> None:
        """Kill the kernels that write below a folder, also one to come."""
        while wait(self.futures, 0.1).not_done:
            kernel.kill_below(root)


class There:
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

    def stop(self, root: Path) -> None:
        """Kill the kernels that write below a folder, on all workers."""
        with suppress(Exception):
            self.client.run(kernel.kill_below, root, on_error="ignore")


@contextmanager
def workers(
    jobs: int, scheduler: str | None, root: Path
) -> Iterator[Here | There]:
    """What executes notebooks: ``jobs`` threads here, or a cluster.

    ``root`` is the run's folder, which all workers have to see. Raises
    ``Refused`` where a cluster does not answer or does not fit.
    """
    with ExitStack() as stack:
        if scheduler:
            from distributed import Client

            try:
                how = {"timeout": SECONDS, "set_as_default": False}
                client = Client(scheduler, **how)
                stack.callback(client.close, timeout=1)
                client.wait_for_workers(1, timeout=SECONDS)
            except (OSError, ValueError, TypeError) as error:
                raise Refused(f"--scheduler {scheduler}: {error}") from error
            _check(client, scheduler, root)
        pool = There(client) if scheduler else Here(jobs)
        try:
            yield pool
        except BaseException:
            pool.stop(root)
            raise


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
