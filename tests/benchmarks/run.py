"""Five ratios, measured side by side in this run: ``make bench``.

1. Frozen features against a bare ``model.predict`` on the same images.
2. The head bank, 50 heads, against the same heads one after another in plain
   Keras.  Plain Keras trains the first ten heads; as all cost the same, its
   time for 50 is five times that.
3. EfficientNet-Lite1 against EfficientNetB1: frozen features at 150 px, and a
   training step of the whole network at 96 px.
4. The grid of small networks on digits, 15 losses x 2 imbalance ratios x 3
   seeds, end to end, against one plain Keras compile and fit a cell.  Plain
   Keras trains 6 of the 90 cells; its time for 90 is 15 times that.

Each ratio is the other time / our time, so more than 1 is faster: median and
range over rounds in which both sides run, the other side first each time.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tempfile
import time

import keras
import numpy as np

from helpers.data.catalog import load_digits
from helpers.imbalance import Split, hold_out, long_tail
from helpers.methods.losses import CrossEntropy
from helpers.methods.registry import METHODS, PAPER_LOSSES
from helpers.models import (
    backbone,
    build_classifier,
    frozen_features,
    head_layers,
    small_resnet,
    unfreeze,
)
from helpers.models.backbones import BATCH_SIZE, features_network
from helpers.training import RECIPES, Recipe, train_grid, train_heads

B1, LITE_1 = "EfficientNetB1", "EfficientNet-Lite1"
FEATURE_ROUNDS, HEAD_ROUNDS, LITE_ROUNDS, GRID_ROUNDS = 7, 3, 5, 3
SETTINGS = Recipe(dense=128, dropout=0.3, batch_size=32, epochs=20)
N_TRAIN, N_VALIDATION, DEPTH, N_CLASSES = 3200, 160, 704, 5
N_HEADS, N_PLAIN = 50, 10


def seconds(work) -> float:
    keras.backend.clear_session()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(title: str, plain, ours, rounds: int, factor: float = 1) -> float:
    """Print the ratio's median and range; return the median of our time."""
    ratios, own = [], []
    for number in range(rounds):
        if number % 2:
            own.append(seconds(ours))
            other = seconds(plain)
        else:
            other = seconds(plain)
            own.append(seconds(ours))
        ratios.append(factor * other / own[-1])
    print(
        f"{title}: {np.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}, {rounds} rounds)",
        flush=True,
    )
    return float(np.median(own))


def bench_features() -> None:
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
    title = "frozen features / bare predict, 512 images"
    compare(title, bare, ours, FEATURE_ROUNDS)


def bench_heads() -> None:
    generator = np.random.default_rng(0)
    count = N_TRAIN + N_VALIDATION
    labels = generator.integers(N_CLASSES, size=count)
    features = generator.normal(size=(1, count, DEPTH)).astype("float32")
    train, val = np.arange(N_TRAIN), np.arange(N_TRAIN, count)
    methods = list(METHODS)[:2]
    runs = [
        Split("all", train, val, val, seed)
        for seed in range(N_HEADS // len(methods))
    ]

    def bank():
        train_heads(features, labels, runs, methods, SETTINGS)

    def plain():
        for number in range(N_PLAIN):
            plain_head(features[0], labels, train, val, number)

    title = f"head bank / plain Keras, {N_HEADS} heads"
    compare(title, plain, bank, HEAD_ROUNDS, N_HEADS / N_PLAIN)


def bench_lite() -> None:
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
        model = build_classifier(base, N_CLASSES)
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
        title = f"{what}, {B1} / {LITE_1}"
        own = compare(title, b1, lite, LITE_ROUNDS)
        print(f"{LITE_1}: {count / own:.0f} images a second")


def bench_grid() -> None:
    """The digits grid against one plain Keras compile/fit per cell."""
    digits, recipe = load_digits(8), RECIPES["digits"]
    images, labels = digits.images[..., :1], digits.labels  # grey
    runs = []
    for rho in (10, 50):
        for seed in range(3):
            rest, test = hold_out(labels, 10, 30, seed)
            train = rest[long_tail(labels[rest], 10, rho, seed)]
            runs.append(Split(f"rho {rho}", train, test[:0], test, seed))
    # As many cells of each rho; all losses cost plain Keras the same.
    cells = [(run, name) for run in runs[::3] for name in PAPER_LOSSES[::5]]
    count = len(runs) * len(PAPER_LOSSES)

    def grid():
        train_grid(images, labels, runs, list(PAPER_LOSSES), recipe)

    def plain():
        for run, name in cells:
            steps = -(-len(run.train) // recipe.batch_size)
            model = small_resnet(10, images.shape[1:], run.seed)
            counts = np.bincount(labels[run.train], minlength=10)
            model.compile(
                recipe.new_optimizer(steps),
                METHODS[name].loss(counts),
                metrics=["accuracy"],
            )
            model.fit(
                images[run.train],
                labels[run.train],
                batch_size=recipe.batch_size,
                epochs=recipe.epochs,
                verbose=0,
            )
            model.predict(images[run.test], verbose=0)

    title = f"grid / plain Keras, {count} networks"
    own = compare(title, plain, grid, GRID_ROUNDS, count / len(cells))
    print(f"the grid itself: {own:.0f} s")


def plain_head(features, labels, train, val, number) -> None:
    """One head as a reader would write it, selected on validation."""
    method = METHODS[list(METHODS)[number % 2]]
    x = (features - features[train].mean(0)) / features[train].std(0)
    layers = head_layers(
        N_CLASSES, SETTINGS.dense, SETTINGS.dropout, number // 2
    )
    model = keras.Sequential([keras.Input((DEPTH,)), *layers])
    model.compile(
        keras.optimizers.Adam(SETTINGS.learning_rate),
        method.loss(np.bincount(labels[train], minlength=N_CLASSES)),
        metrics=["accuracy"],
    )
    model.fit(
        x[train],
        labels[train],
        validation_data=(x[val], labels[val]),
        batch_size=SETTINGS.batch_size,
        epochs=SETTINGS.epochs,
        verbose=0,
    )
    model.predict(x, verbose=0)


if __name__ == "__main__":
    bench_features()
    bench_heads()
    bench_lite()
    bench_grid()
