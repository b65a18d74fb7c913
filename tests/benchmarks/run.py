"""Ratios of speed, measured side by side in this run: ``make bench``.

``python tests/benchmarks/run.py heads grid`` measures some of them only.

- features: frozen features against a bare ``model.predict``, same images.
- heads: the head bank, 50 heads, against plain Keras.  Plain Keras trains 10
  of them; as all cost the same, its time for 50 is five times that.
- grid: the grid of small networks on digits, 15 losses x 2 imbalance ratios
  x 3 seeds, end to end, against plain Keras.  Plain Keras trains 6 of the 90
  cells; its time for 90 is 15 times that.
- fine_tuning: a whole EfficientNet-Lite1 by `train_one_by_one` against a bare
  ``fit`` on the same images in memory, with the same augmentation.
- lite: EfficientNet-Lite1 against EfficientNetB1, frozen features at 150 px
  and a training step of the whole network at 96 px.
- jobs: all notebooks, quick, one after another, against ``--jobs 2``.

There are two plain yardsticks.  *Default*: one ``compile`` and ``fit`` after
another.  *Strong*: ``steps_per_execution`` of a whole epoch, and one process a
core, each with one thread, already started and with Keras imported; their
start is not counted.  Networks must reach the same scores on both sides, or
the benchmark ends with an error.

Each ratio is the other time / our time, so more than 1 is faster: median and
range over rounds in which all sides run, in an order that alternates.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import logging
import multiprocessing
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path

import keras
import numpy as np

from helpers.data.catalog import load_digits
from helpers.imbalance import Split, hold_out, long_tail
from helpers.methods.losses import CrossEntropy
from helpers.methods.registry import METHODS, PAPER_LOSSES
from helpers.models import (
    augmentation_layers,
    backbone,
    frozen_features,
    head_layers,
    small_resnet,
    unfreeze,
)
from helpers.models.backbones import BATCH_SIZE, features_network
from helpers.training import (
    FINE_TUNING,
    RECIPES,
    Recipe,
    WholeNetwork,
    train_grid,
    train_heads,
    train_one_by_one,
)

B1, LITE_1 = "EfficientNetB1", "EfficientNet-Lite1"
HEAD = Recipe(dense=128, dropout=0.3, batch_size=32, epochs=20)
N_TRAIN, N_TEST, DEPTH, N_CLASSES = 3200, 640, 704, 5
HEAD_METHODS = list(METHODS)[:2]
N_HEADS, N_PLAIN_HEADS = 50, 10
CORES = len(os.sched_getaffinity(0))
SAME = 0.03
"""How far two mean accuracies of the same networks may lie apart."""


def seconds(work) -> tuple[float, object]:
    keras.backend.clear_session()
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def compare(title: str, ours, others: dict, rounds: int, factor=1.0) -> float:
    """Print each ratio's median and range; the median of our time.

    ``others`` are the yardsticks by name.  ``factor`` is what a yardstick's
    time is multiplied by, where it does a part of the work.  Works may return
    their networks' mean accuracy, which must then agree.
    """
    works, taken = {"ours": ours, **others}, {}
    for number in range(rounds):
        # The first yardstick comes first, then we do.
        for name in sorted(works, reverse=number % 2 == 0):
            taken[name, number] = seconds(works[name])
    for name in others:
        pairs = [(taken[name, k], taken["ours", k]) for k in range(rounds)]
        ratios = [factor * other[0] / own[0] for other, own in pairs]
        part = f", extrapolated from 1 in {factor:g}" if factor > 1 else ""
        print(
            f"{title}, {name}: {np.median(ratios):.2f} ({min(ratios):.2f} to "
            f"{max(ratios):.2f}, {rounds} rounds{part})",
            flush=True,
        )
        for other, own in pairs:
            if own[1] is not None and abs(other[1] - own[1]) > SAME:
                sys.exit(f"{title}: accuracy {own[1]:.3f}, {name} {other[1]}")
    scores = [result for _, result in taken.values() if result is not None]
    if scores:
        print(f"  mean accuracy {min(scores):.3f} to {max(scores):.3f}")
    return float(np.median([taken["ours", k][0] for k in range(rounds)]))


def workers() -> ProcessPoolExecutor:
    """A started process a core, each with one thread for TensorFlow."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), "1")
    before = {key: os.environ.get(key) for key in one}
    os.environ.update(one)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(CORES, context)
    list(pool.map(time.sleep, [2] * CORES))  # long enough that all start
    list(pool.map(_warm, range(CORES)))
    for key, value in before.items():
        if value is None:
            del os.environ[key]
        else:
            os.environ[key] = value
    return pool


def _quiet() -> None:
    """TensorFlow warns of every fifth tracing, which many networks need."""
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def _warm(number) -> None:
    _quiet()
    keras.ops.zeros(1)
    head_data()
    grid_data()


def yardsticks(pool, plain, count: int) -> dict:
    """The default and the strong one; ``plain(number, strong)`` trains."""

    def default():
        return np.mean([plain(number, False) for number in range(count)])

    def strong():
        done = pool.map(plain, range(count), [True] * count)
        return np.mean(list(done))

    return {"plain Keras": default, "strong plain Keras": strong}


# --- frozen features ------------------------------------------------------


def bench_features(pool) -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(256, size=(512, 150, 150, 3), dtype=np.uint8)

    def bare():
        features_network.cache_clear()
        model = features_network("", B1, "random", 150, None)
        model.predict(images, batch_size=BATCH_SIZE, verbose=0)

    def ours():
        features_network.cache_clear()  # both sides build and compile
        with tempfile.TemporaryDirectory() as folder:
            frozen_features(images, B1, "random", cache_dir=folder)

    bare()  # the first use of the device is not part of either side
    compare("frozen features, 512 images", ours, {"bare predict": bare}, 7)


# --- heads on features ----------------------------------------------------


@cache
def head_data():
    """Gaussian classes that overlap, so that scores say something."""
    generator = np.random.default_rng(0)
    count = N_TRAIN + N_TEST
    labels = generator.integers(N_CLASSES, size=count)
    centres = 0.1 * generator.normal(size=(N_CLASSES, DEPTH))
    noise = generator.normal(size=(count, DEPTH))
    features = (centres[labels] + noise).astype("float32")
    rows = np.arange(count)
    return features, labels, rows[:N_TRAIN], rows[N_TRAIN:]


def plain_head(number: int, strong: bool) -> float:
    """One head as a reader would write it: its accuracy."""
    features, labels, train, test = head_data()
    method = METHODS[HEAD_METHODS[number % len(HEAD_METHODS)]]
    x = (features - features[train].mean(0)) / features[train].std(0)
    layers = head_layers(N_CLASSES, HEAD.dense, HEAD.dropout, number // 2)
    model = keras.Sequential([keras.Input((DEPTH,)), *layers])
    steps = N_TRAIN // HEAD.batch_size
    model.compile(
        keras.optimizers.Adam(HEAD.learning_rate),
        method.loss(np.bincount(labels[train], minlength=N_CLASSES)),
        metrics=["accuracy"],
        steps_per_execution=steps if strong else 1,
    )
    model.fit(
        x[train],
        labels[train],
        validation_data=(x[test], labels[test]),
        batch_size=HEAD.batch_size,
        epochs=HEAD.epochs,
        verbose=0,
    )
    answers = model.predict(x, verbose=0)[test].argmax(-1)
    return float(np.mean(answers == labels[test]))


def bench_heads(pool) -> None:
    features, labels, train, test = head_data()
    seeds = range(N_HEADS // len(HEAD_METHODS))
    runs = [Split("all", train, test, test, seed) for seed in seeds]

    def bank():
        done = train_heads(features[None], labels, runs, HEAD_METHODS, HEAD)
        answers = done.logits[:, :, test].argmax(-1)
        return float(np.mean(answers == labels[test]))

    others = yardsticks(pool, plain_head, N_PLAIN_HEADS)
    title = f"head bank, {N_HEADS} heads"
    own = compare(title, bank, others, 3, N_HEADS / N_PLAIN_HEADS)
    print(f"the bank itself: {own:.0f} s", flush=True)


# --- small networks on digits ---------------------------------------------


@cache
def grid_data():
    digits = load_digits(8)
    images, labels = digits.images[..., :1], digits.labels  # grey
    runs = []
    for rho in (10, 50):
        for seed in range(3):
            rest, test = hold_out(labels, 10, 30, seed)
            train = rest[long_tail(labels[rest], 10, rho, seed)]
            runs.append(Split(f"rho {rho}", train, test[:0], test, seed))
    return images, labels, runs


def plain_cells() -> list[tuple[int, str]]:
    """As many cells of each rho; all losses cost plain Keras the same."""
    return [(run, name) for run in (0, 3) for name in list(PAPER_LOSSES)[::5]]


def plain_cell(number: int, strong: bool) -> float:
    """One small network in plain Keras: its accuracy."""
    images, labels, runs = grid_data()
    which, name = plain_cells()[number]
    run, recipe = runs[which], RECIPES["digits"]
    steps = -(-len(run.train) // recipe.batch_size)
    model = small_resnet(10, images.shape[1:], run.seed)
    counts = np.bincount(labels[run.train], minlength=10)
    model.compile(
        recipe.new_optimizer(steps),
        METHODS[name].loss(counts),
        metrics=["accuracy"],
        steps_per_execution=steps if strong else 1,
    )
    model.fit(
        images[run.train],
        labels[run.train],
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        verbose=0,
    )
    answers = model.predict(images[run.test], verbose=0).argmax(-1)
    return float(np.mean(answers == labels[run.test]))


def bench_grid(pool) -> None:
    images, labels, runs = grid_data()
    names, cells = list(PAPER_LOSSES), plain_cells()

    def grid():
        done = train_grid(images, labels, runs, names, RECIPES["digits"])
        scores = []
        for which, name in cells:
            test = runs[which].test
            answers = done.logits[names.index(name), which, test].argmax(-1)
            scores.append(np.mean(answers == labels[test]))
        return float(np.mean(scores))

    count = len(runs) * len(names)
    others = yardsticks(pool, plain_cell, len(cells))
    own = compare(
        f"grid, {count} networks", grid, others, 3, count / len(cells)
    )
    print(f"the grid itself: {own:.0f} s", flush=True)


# --- whole networks -------------------------------------------------------


def bench_fine_tuning(pool) -> None:
    """Both sides build, compile, train, validate and predict at the end."""
    generator = np.random.default_rng(0)
    labels = np.arange(384) % N_CLASSES
    shades = np.linspace(60, 200, N_CLASSES)[labels, None, None, None]
    noise = generator.normal(scale=20, size=(384, 96, 96, 3))
    images = np.clip(shades + noise, 0, 255).astype(np.uint8)
    recipe = replace(FINE_TUNING, epochs=3)
    rows = np.arange(384)
    run = Split("all", rows[:320], rows[320:], rows[320:], 0)
    network = WholeNetwork(LITE_1, "random", recipe)

    def ours():
        train_one_by_one(
            images, labels, [run], ["cross_entropy"], recipe, network
        )

    def bare():
        keras.utils.set_random_seed(0)
        layers = augmentation_layers(recipe.augmentation, 0)
        layers.append(network(N_CLASSES, (96, 96, 3), 0))
        model = keras.Sequential([keras.Input((96, 96, 3)), *layers])
        model.compile(
            recipe.new_optimizer(10), CrossEntropy(), metrics=["accuracy"]
        )
        x = images.astype("float32")
        model.fit(
            x[run.train],
            labels[run.train],
            validation_data=(x[run.val], labels[run.val]),
            batch_size=recipe.batch_size,
            epochs=recipe.epochs,
            verbose=0,
        )
        model.predict(x, batch_size=64, verbose=0)

    title = "fine-tuning, 320 images of 96 px, 3 epochs"
    compare(title, ours, {"bare fit": bare}, 3)


def bench_lite(pool) -> None:
    """Random weights, which cost the same; built and traced beforehand."""
    generator = np.random.default_rng(0)
    images = generator.integers(256, size=(128, 150, 150, 3)).astype("float32")
    small = generator.integers(256, size=(64, 96, 96, 3)).astype("float32")
    labels = generator.integers(N_CLASSES, size=len(small))
    batches = range(0, len(images), BATCH_SIZE)

    def extraction(name):
        network = features_network("", name, "random", 150, None)

        def extract():
            for start in batches:
                network.predict_on_batch(images[start : start + BATCH_SIZE])

        return extract

    def training(name):
        base = backbone(name, "random", 96)
        unfreeze(base)
        layers = head_layers(N_CLASSES, HEAD.dense, HEAD.dropout, 0)
        model = keras.Sequential([base, *layers])
        model.compile("adam", CrossEntropy())

        def step():
            for start in range(0, len(small), BATCH_SIZE):
                rows = slice(start, start + BATCH_SIZE)
                model.train_on_batch(small[rows], labels[rows])

        return step

    for what, prepare, count in (
        ("frozen features at 150 px", extraction, len(images)),
        ("training step at 96 px", training, len(small)),
    ):
        b1, lite = prepare(B1), prepare(LITE_1)
        b1(), lite()  # the tracing is not part of either side
        own = compare(f"{LITE_1}, {what}", lite, {B1: b1}, 5)
        print(f"{LITE_1}: {count / own:.0f} images a second", flush=True)


# --- whole runs -----------------------------------------------------------


def bench_jobs(pool) -> None:
    """Synthetic images and features are made anew in every run."""

    def run(*options):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            command = [sys.executable, "-m", "helpers.run", *options]
            command += ["--run-dir", str(place / "run")]
            env = os.environ | {"WORKBOOK_CACHE": str(place / "cache")}
            subprocess.run(command, env=env, check=True, capture_output=True)

    others = {"one after another": run}
    compare("quick run, --jobs 2", lambda: run("--jobs", "2"), others, 1)


BENCHMARKS = {
    name.removeprefix("bench_"): work
    for name, work in list(globals().items())
    if name.startswith("bench_")
}


if __name__ == "__main__":
    if unknown := set(sys.argv[1:]) - BENCHMARKS.keys():
        sys.exit(f"no benchmark {unknown}; there are {', '.join(BENCHMARKS)}")
    _quiet()
    with workers() as pool:
        for name in sys.argv[1:] or BENCHMARKS:
            BENCHMARKS[name](pool)
