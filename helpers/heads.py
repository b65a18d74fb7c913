"""Many heads at once, on frozen features.

All (method x run) heads of a comparison train in one compiled program.  A
run's seed draws its initial weights, batch order, augmented views and dropout
masks; all methods of a run share them, so only the loss differs.
"""

import time
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd
from keras import ops

from helpers.losses import CrossEntropy
from helpers.methods import METHODS
from helpers.models import head_initializers
from helpers.splits import Split
from helpers.training import Trained, history_rows, validation_scores

_EVALUATION_ROWS = 64


@dataclass(frozen=True)
class HeadSettings:
    """What the acne paper leaves unsaid, the same for every head."""

    dense: int = 128
    dropout: float = 0.3
    learning_rate: float = 1e-3
    batch_size: int = 32
    epochs: int = 20


def train_heads(
    features: np.ndarray,
    labels: np.ndarray,
    runs: list[Split],
    methods: list[str],
    settings: HeadSettings,
) -> Trained:
    """Train a Dense-Dropout-Dense head for every method and run.

    Features are standardised by the mean and spread of each run's training
    rows (plain view), since those of an untrained backbone are of the order
    of 1e-6.  Adam; the epoch with the best validation macro-F1 is kept.

    An epoch is ``ceil(n / batch_size)`` batches, n the largest training part
    of the runs, from each run's own endless shuffled stream: every row once
    before any row twice.  At each visit a row's view is drawn anew.

    Parameters
    ----------
    features : float32 (V, N, F), view 0 plain, see
        `helpers.features.frozen_features`
    labels : int (N,), 0 ... C - 1
    runs : one `Split` a run; its ``seed`` draws weights, batches, dropout
    methods : names in `helpers.methods.METHODS`
    settings : see `HeadSettings`

    Raises
    ------
    ValueError
        Where a method is unknown or features and labels do not match.
    """
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise ValueError(f"methods: {unknown} not in {sorted(METHODS)}")
    if features.ndim != 3 or features.shape[1] != len(labels):
        raise ValueError(
            f"features: (views, {len(labels)}, F) is needed, "
            f"got {features.shape}"
        )
    start = time.perf_counter()
    bank = _Bank(features, labels, runs, methods, settings)
    rows = epoch_batches(features.shape[0], len(labels), runs, settings)
    steps = len(rows) // settings.epochs
    running = _RunningScores(len(methods), len(runs))
    bank.compile(
        optimizer=keras.optimizers.Adam(settings.learning_rate),
        loss=_BankLoss(methods, runs, labels),
        metrics=[running],
        jit_compile=True,
        steps_per_execution=steps,
    )
    keeper = _KeepBest(labels, runs, methods, running)
    bank.fit(
        rows,
        labels[rows % len(labels)],
        batch_size=1,
        shuffle=False,
        epochs=settings.epochs,
        steps_per_epoch=steps,
        callbacks=[keeper],
        verbose=0,
    )
    for weight, best in zip(
        bank.trainable_weights, keeper.best_weights, strict=True
    ):
        weight.assign(best)
    return Trained(
        methods=tuple(methods),
        runs=tuple(runs),
        logits=bank.logits([np.arange(len(labels))] * len(runs)),
        best_epoch=keeper.best_epoch,
        history=pd.DataFrame(keeper.history),
        seconds=time.perf_counter() - start,
    )


def epoch_batches(n_views, n_rows, runs, settings):
    """Rows of every step, int32 (epochs * steps, R, batch): view * N + row."""
    size = settings.batch_size
    steps = -(-max(len(run.train) for run in runs) // size) * settings.epochs
    streams = []
    for run in runs:
        generator = np.random.default_rng(run.seed)
        passes = -(-steps * size // len(run.train))
        stream = np.concatenate(
            [generator.permutation(run.train) for _ in range(passes)]
        )[: steps * size]
        views = generator.integers(n_views, size=len(stream))
        streams.append((views * n_rows + stream).reshape(steps, size))
    return np.stack(streams, axis=1).astype("int32")


class _Bank(keras.Model):
    """M x R heads; the methods of a run share one wide matrix product."""

    def __init__(self, features, labels, runs, methods, settings):
        super().__init__(name="head_bank")
        n_methods, n_runs = len(methods), len(runs)
        n_classes = int(labels.max()) + 1
        width, depth = settings.dense, features.shape[-1]
        self.dropout = settings.dropout
        seeds = list(dict.fromkeys(run.seed for run in runs))
        self.seeds = [keras.random.SeedGenerator(seed) for seed in seeds]
        self.seed_of_run = [seeds.index(run.seed) for run in runs]
        plain = [features[0, run.train] for run in runs]
        mean = np.stack([part.mean(axis=0, keepdims=True) for part in plain])
        spread = np.stack([part.std(axis=0, keepdims=True) for part in plain])
        # A feature that never moves in training must not divide by zero.
        scale = 1 / np.where(spread > 1e-6 * spread.mean(), spread, np.inf)
        self.features = self._constant(features.reshape(-1, depth))
        self.mean, self.scale = self._constant(mean), self._constant(scale)
        first = np.empty((n_runs, depth, n_methods, width), "float32")
        second = np.empty((n_runs, width, n_methods, n_classes), "float32")
        for index, run in enumerate(runs):
            inner, outer = head_initializers(run.seed)
            first[index] = np.asarray(inner((depth, width)))[:, None]
            second[index] = np.asarray(outer((width, n_classes)))[:, None]
        zeros = np.zeros((n_runs, 1, n_methods, 1), "float32")
        self.first = self._weight(first)
        self.first_bias = self._weight(zeros.repeat(width, axis=-1))
        self.second = self._weight(second)
        self.second_bias = self._weight(zeros.repeat(n_classes, axis=-1))

    def _weight(self, value, trainable=True):
        return self.add_weight(
            shape=value.shape,
            initializer=lambda shape, dtype: ops.convert_to_tensor(
                value, dtype
            ),
            trainable=trainable,
        )

    def _constant(self, value):
        return self._weight(value, trainable=False)

    def call(self, rows, training=False):
        """Rows (1, R, B) to logits (1, R, M, B, C)."""
        n_runs, depth, n_methods, width = self.first.shape
        batch = rows.shape[-1]
        x = ops.take(self.features, rows[0], axis=0)
        x = (x - self.mean) * self.scale
        wide = ops.reshape(self.first, (n_runs, depth, n_methods * width))
        hidden = ops.reshape(
            ops.matmul(x, wide), (n_runs, batch, n_methods, width)
        )
        hidden = ops.relu(hidden + self.first_bias)
        if training and self.dropout:
            ones = ops.ones((batch, 1, width))
            masks = ops.stack(
                [
                    keras.random.dropout(ones, self.dropout, seed=seed)
                    for seed in self.seeds
                ]
            )
            hidden *= ops.take(masks, self.seed_of_run, axis=0)
        logits = ops.einsum("rbmh,rhmc->rmbc", hidden, self.second)
        bias = ops.transpose(self.second_bias, (0, 2, 1, 3))
        return (logits + bias)[None]

    def heads(self):
        """The trainable arrays, each (R, inputs, M, outputs)."""
        return [np.asarray(weight) for weight in self.trainable_weights]

    def logits(self, rows):
        """Logits (M, R, N, C) of a list of R equally long row arrays."""
        count = len(rows[0])
        chunks = -(-count // _EVALUATION_ROWS)
        padded = np.zeros((len(rows), chunks * _EVALUATION_ROWS), "int32")
        padded[:, :count] = rows
        padded = padded.reshape(len(rows), chunks, -1).swapaxes(0, 1)
        out = self.predict(padded, batch_size=1, verbose=0)
        out = out.transpose(2, 1, 0, 3, 4)
        return out.reshape(*out.shape[:2], -1, out.shape[-1])[:, :, :count]


class _BankLoss(keras.losses.Loss):
    """Sum over heads of each head's mean loss: their gradients stay apart."""

    def __init__(self, methods, runs, labels):
        super().__init__(reduction="sum")
        n_classes = int(labels.max()) + 1
        counts = np.stack(
            [
                np.bincount(labels[run.train], minlength=n_classes)[None]
                for run in runs
            ]
        )
        self.losses = [METHODS[name].loss(counts) for name in methods]

    def call(self, y_true, y_pred):
        return ops.stack(
            [
                ops.mean(loss.call(y_true[0], y_pred[0, :, index]), axis=-1)
                for index, loss in enumerate(self.losses)
            ]
        )


class _RunningScores(keras.metrics.Metric):
    """Sums of cross-entropy and of hits over an epoch, (2, R, M)."""

    def __init__(self, n_methods, n_runs):
        super().__init__(name="running")
        self.sums = self.add_variable(
            (2, n_runs, n_methods), initializer="zeros"
        )
        self.count = self.add_variable((), initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        labels, logits = ops.cast(y_true[0][:, None], "int32"), y_pred[0]
        loss = CrossEntropy().call(labels, logits)
        hit = ops.equal(ops.cast(ops.argmax(logits, -1), "int32"), labels)
        batch = ops.stack([loss, ops.cast(hit, loss.dtype)])
        self.sums.assign_add(ops.sum(batch, axis=-1))
        self.count.assign_add(labels.shape[-1])

    def result(self):
        return self.sums[0, 0, 0] / self.count

    def scores(self):
        return np.asarray(self.sums) / float(self.count)


class _KeepBest(keras.callbacks.Callback):
    """Scores validation after each epoch and keeps each head's best epoch."""

    def __init__(self, labels, runs, methods, running):
        super().__init__()
        self.labels, self.runs, self.methods = labels, runs, methods
        self.running = running
        self.history = []
        self.best_score = np.full((len(methods), len(runs)), -1.0)
        self.best_epoch = np.zeros((len(methods), len(runs)), int)
        self.best_weights = None
        longest = max(len(run.val) for run in runs)
        self.rows = [np.resize(run.val, longest) for run in runs]

    def on_epoch_end(self, epoch, logs=None):
        logits = self.model.logits(self.rows)
        training = self.running.scores()
        weights = self.model.heads()
        if self.best_weights is None:
            self.best_weights = [array.copy() for array in weights]
        for r, run in enumerate(self.runs):
            labels = self.labels[run.val]
            for m, method in enumerate(self.methods):
                scores = validation_scores(labels, logits[m, r, : len(labels)])
                running = dict(
                    zip(("loss", "accuracy"), training[:, r, m], strict=True)
                )
                for part, values in (("train", running), ("val", scores)):
                    self.history += history_rows(
                        run, method, epoch, part, values
                    )
                if scores["macro_f1"] > self.best_score[m, r]:
                    self.best_score[m, r] = scores["macro_f1"]
                    self.best_epoch[m, r] = epoch + 1
                    for best, now in zip(
                        self.best_weights, weights, strict=True
                    ):
                        best[r, :, m] = now[r, :, m]
