"""Small studies of one network: many runs of one program.

What the notebook on backbones and attention needs beyond the helpers it draws
on: a network trained again and again, from other weights and at other rates,
and scores whose intervals know of test persons *and* of seeds.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np

from helpers.evaluation import Metric, bootstrap, differences
from helpers.imbalance.splits import Split
from helpers.methods.losses import CrossEntropy, check_labels
from helpers.training.heads import HeadSettings, epoch_batches

_OVER_BOTH = {"within_classes": False, "over_seeds": True}
# Inputs of that many bytes are laid out at once.
_BLOCK = 2**28
# Inputs predicted at a time.
_PREDICTED = 32
# Steps without a return to Python, which costs a small network a third more.
_STEPS = 16


class Job(NamedTuple):
    """One training: rows and seed of a run, a learning rate, a start.

    ``start`` is a list as of ``Model.get_weights``; None stands for the
    weights that the run's seed draws.
    """

    run: Split
    rate: float
    start: list[np.ndarray] | None = None


@dataclass(frozen=True)
class Fitted:
    """What J jobs came to on N rows of C classes.

    logits: float32 (J, N, C) of all rows; starts, weights: a list a job, as
    of ``Model.get_weights``, before and after; seconds: of all.
    """

    logits: np.ndarray
    starts: list[list[np.ndarray]]
    weights: list[list[np.ndarray]]
    seconds: float


class Program:
    """One network, compiled once and trained as often as asked.

    Adam (its defaults but for the rate), plain cross-entropy, a constant
    rate; the last epoch counts, so that nothing is chosen.

    network : from a seed to a model from inputs to logits; the seed draws the
        initial weights of jobs without a start.  Layers that it does not
        train stay as they are.
    """

    def __init__(self, network: Callable[[int], keras.Model]):
        self.network, self.drawn = network, {}
        self.model = network(0)
        self.model.compile(
            optimizer=keras.optimizers.Adam(),
            loss=CrossEntropy(),
            jit_compile=False,
            steps_per_execution=_STEPS,
        )
        self.model.optimizer.build(self.model.trainable_variables)
        self.fresh = [
            keras.ops.convert_to_numpy(variable).copy()
            for variable in self.model.optimizer.variables
        ]

    def train(
        self,
        inputs: np.ndarray,
        labels: np.ndarray,
        jobs: list[Job],
        epochs: int,
        batch_size: int = 32,
        flips: bool = True,
    ) -> Fitted:
        """Train once a job.

        Jobs of one seed and one training part see the same batches, in the
        same order, whatever else differs.

        Parameters
        ----------
        inputs : (N, ...) pictures 0-255, or maps (N, h, w, F)
        labels : int (N,), 0 ... C - 1
        jobs : see `Job`
        epochs, batch_size : an epoch is ``ceil(n / batch_size)`` batches
        flips : whether each input is turned over left-right and up-down at
            random, anew every time; a grade does not mind
        """
        check_labels(labels)
        begun = time.perf_counter()
        settings = HeadSettings(batch_size=batch_size, epochs=epochs)
        logits, starts, weights = [], [], []
        for job in jobs:
            start = self._begin(job)
            rows = epoch_batches(1, labels, [job.run], settings)[:, 0]
            self._fit(inputs, labels, rows, flips, job.run.seed)
            starts.append(start)
            weights.append(self.model.get_weights())
            logits.append(self._predict(inputs))
        seconds = time.perf_counter() - begun
        return Fitted(np.stack(logits), starts, weights, seconds)

    def logits(self, weights: list[list], inputs: np.ndarray) -> np.ndarray:
        """Logits (J, N, C) of other inputs, from the weights of J jobs."""
        rows = []
        for own in weights:
            self.model.set_weights(own)
            rows.append(self._predict(inputs))
        return np.stack(rows)

    def _begin(self, job):
        seed, start = job.run.seed, job.start
        if start is None:
            if seed not in self.drawn:
                self.drawn[seed] = self.network(seed).get_weights()
            start = self.drawn[seed]
        self.model.set_weights(start)
        optimizer = self.model.optimizer
        for variable, value in zip(
            optimizer.variables, self.fresh, strict=True
        ):
            variable.assign(value)
        optimizer.learning_rate = job.rate
        return start

    def _fit(self, inputs, labels, rows, flips, seed):
        """One pass over the rows of all batches, (steps, batch), in blocks."""
        generator = np.random.default_rng(seed)
        size = rows.shape[1]
        held = max(1, _BLOCK // (size * inputs[:1].nbytes))
        for block in np.split(rows, range(held, len(rows), held)):
            own = block.ravel()
            given = inputs[own]
            for axis in (1, 2) if flips else ():
                turned = generator.random(len(own)) < 0.5
                given[turned] = np.flip(given[turned], axis)
            self.model.fit(
                given, labels[own], batch_size=size, shuffle=False, verbose=0
            )

    def _predict(self, inputs):
        # A shorter last batch would cost a second tracing of the network;
        # ``predict`` would unroll all the steps of an execution.
        padded = -(-len(inputs) // _PREDICTED) * _PREDICTED
        rows = np.resize(np.arange(len(inputs)), padded)
        found = [
            self.model.predict_on_batch(inputs[own])
            for own in np.split(rows, padded // _PREDICTED)
        ]
        return np.concatenate(found)[: len(inputs)]


def two_at_a_time(function: Callable, items: Iterable) -> list:
    """``map`` in two threads: the function's results, in the items' order.

    A network as small as these keeps no more than one core busy, and the
    backend lets go of Python while it computes.  Each item wants its own
    `Program`, and networks whose initial weights do not come from Keras'
    global seed.  The first error is raised when both threads have stopped.
    """
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(function, items))


def movement(before: list[np.ndarray], after: list[np.ndarray]) -> float:
    """How far weights went from where they started, as a share of their size.

    ‖after - before‖ / ‖before‖, all arrays taken as one vector.
    """
    step = sum(
        np.square(b - a, dtype=float).sum()
        for a, b in zip(before, after, strict=True)
    )
    return float(
        np.sqrt(step / sum(np.square(a, dtype=float).sum() for a in before))
    )


class Estimate(NamedTuple):
    """A number with its 95 % interval, over persons and over seeds.

    ``half_width`` is that of the interval over the seeds alone, NaN with one
    seed, when ``low`` and ``high`` know of persons only.
    """

    value: float
    low: float
    high: float
    half_width: float


@dataclass(frozen=True)
class Scored:
    """A test set on which grades are scored, over persons and over seeds.

    Persons are drawn whole and *not* within classes: one photographed on
    several visits has images of several grades and belongs to none.

    truth : int (T,), the tested images' classes, with the last among them
    groups : (T,), whom each image shows, or None: each its own
    """

    truth: np.ndarray
    groups: np.ndarray | None

    def score(self, predicted: np.ndarray, metric: Metric) -> Estimate:
        """A score of predicted classes, int (S, T), a row a seed."""
        at = self.truth, {"": predicted}, self.groups
        row = bootstrap(*at, metric=metric, **_OVER_BOTH).iloc[0]
        return Estimate(*row[["mean", "low", "high", "half_width"]])

    def gain(
        self, before: np.ndarray, after: np.ndarray, metric: Metric
    ) -> Estimate:
        """How much ``after`` scores above ``before``, seed by seed."""
        at = self.truth, {"before": before, "after": after}, "before"
        table = differences(*at, self.groups, metric=metric, **_OVER_BOTH)
        return Estimate(*table.loc[0, ["delta", "low", "high", "half_width"]])
