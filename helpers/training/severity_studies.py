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
from scipy import stats

from helpers.evaluation.metrics import Metric, confusion
from helpers.imbalance.splits import Split
from helpers.methods.losses import CrossEntropy, check_labels
from helpers.training.heads import HeadSettings, epoch_batches

LEVEL = 0.95
N_BOOT = 2000
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

    ``luck`` is the half width of the interval over the seeds alone, NaN with
    one seed, when ``low`` and ``high`` know of persons only.
    """

    value: float
    low: float
    high: float
    luck: float


@dataclass(frozen=True)
class Scored:
    """A test part on which grades are scored, over persons and over seeds.

    Two things could have come out otherwise: who is in the test part, and
    what the seeds drew.  The first is a percentile interval over resampled
    units, seeds averaged inside; the second a t interval over the seeds.
    They are independent, so the half widths add up as squares.

    Units are drawn whole and *not* within classes, as
    `helpers.evaluation.bootstrap` draws them: a person photographed on
    several visits has pictures of several grades and belongs to none.

    truth : int (T,), the tested pictures' classes
    units : (T,), whom each picture shows, or None: each its own
    """

    truth: np.ndarray
    units: np.ndarray | None

    @property
    def n_classes(self) -> int:
        """Classes, of which the test part must have the last."""
        return int(self.truth.max()) + 1

    def score(self, said: np.ndarray, metric: Metric) -> Estimate:
        """A score of predicted classes, int (S, T), a row a seed.

        metric : from confusion matrices (..., C, C) to (...)
        """
        return self._estimated([np.atleast_2d(said)], metric)

    def gain(
        self, before: np.ndarray, after: np.ndarray, metric: Metric
    ) -> Estimate:
        """How much ``after`` scores above ``before``, in pairs.

        Both are predicted classes, int (S, T), row s of both from the same
        seed.  Raises ValueError where they have not equally many seeds.
        """
        before, after = np.atleast_2d(before), np.atleast_2d(after)
        if before.shape != after.shape:
            raise ValueError(
                f"before {before.shape} and after {after.shape} are not paired"
            )
        return self._estimated([after, before], metric)

    def _estimated(self, said, metric):
        """The first's score, less the second's where there is one."""
        each, drawn = 0.0, 0.0
        for sign, own in zip((1, -1), said, strict=False):
            tables = self._by_unit(own)
            each = each + sign * metric(tables.sum(axis=0))
            times = _times(len(tables))
            flat = times @ tables.reshape(len(tables), -1)
            resampled = flat.reshape(-1, *tables.shape[1:])
            drawn = drawn + sign * metric(resampled).mean(axis=1)
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(drawn, [tail, 1 - tail])
        return _estimate(each.mean(), low, high, half_width(each))

    def _by_unit(self, said):
        """Confusion matrices of each unit and seed, (U, S, C, C)."""
        units = np.arange(len(self.truth))
        if self.units is not None:
            units = np.unique(self.units, return_inverse=True)[1]
        return np.stack(
            [
                confusion(self.truth[own], said[:, own], self.n_classes)
                for own in (units == unit for unit in range(units.max() + 1))
            ]
        )


def _times(n_units):
    """How often each resample holds each unit; the same ones every time."""
    rng = np.random.default_rng(0)
    return rng.multinomial(n_units, np.full(n_units, 1 / n_units), N_BOOT)


def mean_of(values: np.ndarray, units: np.ndarray | None) -> Estimate:
    """Mean of a number a picture, (S, T) for S seeds, as `Scored` has it.

    Here the interval over units is the t interval over their means.  A NaN
    is left out; a picture without any number is too.
    """
    values = np.atleast_2d(values)
    told = ~np.isnan(values).all(axis=0)
    values = values[:, told]
    units = np.arange(len(told)) if units is None else np.asarray(units)
    pictures = np.nanmean(values, axis=0)
    own = np.unique(units[told], return_inverse=True)[1]
    persons = np.bincount(own, pictures) / np.bincount(own)
    value, half = persons.mean(), half_width(persons)
    luck = half_width(np.nanmean(values, axis=1))
    return _estimate(value, value - half, value + half, luck)


def half_width(values) -> float:
    """Half the 95 % t interval of a mean of n values; NaN where n is 1."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return float("nan")
    t = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)
    return float(t * values.std(ddof=1) / np.sqrt(len(values)))


def _estimate(value, low, high, luck):
    """Half widths over persons and over seeds, added up as squares."""
    widths = np.hypot([value - low, high - value], np.nan_to_num(luck))
    return Estimate(
        float(value), float(value - widths[0]), float(value + widths[1]), luck
    )
