"""Many heads at once, on frozen features.

All (method x run) heads of a comparison train in one compiled program.  A
run's seed draws its initial weights, batch order, augmented views and dropout
masks; all methods of a run share them, so that only what the method names
differs: its loss, its class weights late in training, its classifier or its
decision rule.  A method with a sampler draws batches of its own.
"""

import time
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd
from keras import ops

from helpers.imbalance.sampling import resample
from helpers.imbalance.splits import Split
from helpers.methods.losses import CrossEntropy, check_labels
from helpers.methods.registry import METHODS
from helpers.training.bank import HeadBank, training_counts
from helpers.training.fine_tuning import (
    Trained,
    history_rows,
    validation_scores,
)


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
    of 1e-6.  Adam; the epoch with the best validation macro-F1 is kept, for
    a method with late weights the best of the epochs that have them.  A
    decision rule is applied to the trained head: epochs and history are those
    of its logits as they are, the logits returned are those that decide.

    An epoch is ``ceil(n / batch_size)`` batches, n the largest training part
    of the runs, from each run's own endless shuffled stream: every row once
    before any row twice.  At each visit a row's view is drawn anew.  A
    sampler is asked once a run which rows make up the stream; an epoch has
    the same number of batches for every method.

    Parameters
    ----------
    features : float32 (V, N, F), view 0 plain, see
        `helpers.models.frozen_features`
    labels : int (N,), 0 ... C - 1
    runs : one `Split` a run; its ``seed`` draws weights, batches, dropout
    methods : names in `helpers.methods.METHODS`
    settings : see `HeadSettings`

    Raises
    ------
    ValueError
        Where a method is unknown, labels are no class indices, or features
        and labels do not match.
    """
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise ValueError(f"methods: {unknown} not in {sorted(METHODS)}")
    check_labels(labels)
    if features.ndim != 3 or features.shape[1] != len(labels):
        raise ValueError(
            f"features: (views, {len(labels)}, F) is needed, "
            f"got {features.shape}"
        )
    start = time.perf_counter()
    chosen = [METHODS[name] for name in methods]
    bank = HeadBank(
        features,
        labels,
        runs,
        chosen,
        settings.dense,
        settings.dropout,
        settings.epochs,
    )
    rows = np.stack(
        [
            epoch_batches(features.shape[0], labels, runs, settings, sampler)
            for sampler in bank.samplers
        ],
        axis=1,
    )
    steps = len(rows) // settings.epochs
    running = RunningScores(bank.streams, len(runs))
    bank.compile(
        optimizer=keras.optimizers.Adam(settings.learning_rate),
        metrics=[running],
        jit_compile=True,
        steps_per_execution=steps,
    )
    keeper = _KeepBest(labels, runs, chosen, running, settings.epochs)
    bank.fit(
        {"rows": rows, "epoch": np.arange(len(rows), dtype="int32") // steps},
        labels[rows % len(labels)],
        batch_size=1,
        shuffle=False,
        epochs=settings.epochs,
        steps_per_epoch=steps,
        callbacks=[keeper],
        verbose=0,
    )
    for group, weights in zip(bank.groups, keeper.best, strict=True):
        for weight, best in zip(group.trainable_weights, weights, strict=True):
            weight.assign(best)
    logits = bank.logits([np.arange(len(labels))] * len(runs))
    decide(logits, labels, runs, chosen)
    return Trained(
        methods=tuple(methods),
        runs=tuple(runs),
        logits=logits,
        best_epoch=keeper.best_epoch,
        history=pd.DataFrame(keeper.history),
        seconds=time.perf_counter() - start,
    )


def epoch_batches(n_views, labels, runs, settings, sampler=None):
    """Rows of every step, int32 (epochs * steps, R, batch): view * N + row.

    sampler: None, or what `helpers.imbalance.resample` calls it.
    """
    size = settings.batch_size
    steps = -(-max(len(run.train) for run in runs) // size) * settings.epochs
    streams = []
    for run in runs:
        pool = run.train
        if sampler:
            pool = pool[resample(labels[pool], sampler, run.seed)]
        generator = np.random.default_rng(run.seed)
        passes = -(-steps * size // len(pool))
        stream = np.concatenate(
            [generator.permutation(pool) for _ in range(passes)]
        )[: steps * size]
        views = generator.integers(n_views, size=len(stream))
        streams.append((views * len(labels) + stream).reshape(steps, size))
    return np.stack(streams, axis=1).astype("int32")


def check_decisions(labels, runs, methods, n_classes):
    """Refuse a rule that lacks validation before training, not after."""
    counts = training_counts(labels, runs, n_classes)
    for method in methods:
        for run, own in zip(runs, counts, strict=True):
            if method.decision and not len(run.val):
                try:
                    method.decision(np.zeros((0, n_classes)), run.val, own)
                except ValueError as error:
                    raise ValueError(
                        f"methods: {method.name!r} decides by validation, and "
                        f"run {run.name!r} has none"
                    ) from error


def decide(logits, labels, runs, methods):
    """Add each decision rule's offsets to its method's logits, in place."""
    counts = training_counts(labels, runs, logits.shape[-1])
    for own, method in zip(logits, methods, strict=True):
        if method.decision:
            for r, run in enumerate(runs):
                own[r] += method.decision(
                    own[r, run.val], labels[run.val], counts[r]
                )


class RunningScores(keras.metrics.Metric):
    """Sums of cross-entropy and of hits over an epoch, (2, R, M)."""

    def __init__(self, streams, n_runs):
        super().__init__(name="running")
        self.streams = streams
        self.sums = self.add_variable(
            (2, n_runs, len(streams)), initializer="zeros"
        )
        self.count = self.add_variable((), initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        labels = ops.take(ops.cast(y_true[0], "int32"), self.streams, axis=0)
        labels, logits = ops.transpose(labels, (1, 0, 2)), y_pred[0]
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

    def __init__(self, labels, runs, methods, running, epochs):
        super().__init__()
        self.labels, self.runs, self.methods = labels, runs, methods
        self.running = running
        self.first_epochs = [method.late_epoch(epochs) for method in methods]
        self.history = []
        self.best_score = np.full((len(methods), len(runs)), -1.0)
        self.best_epoch = np.zeros((len(methods), len(runs)), int)
        self.best = None
        longest = max(len(run.val) for run in runs)
        self.rows = [np.resize(run.val, longest) for run in runs]

    def on_epoch_end(self, epoch, logs=None):
        logits = self.model.logits(self.rows)
        training = self.running.scores()
        groups = [
            [np.asarray(weight) for weight in group.trainable_weights]
            for group in self.model.groups
        ]
        if self.best is None:
            self.best = [[w.copy() for w in weights] for weights in groups]
        for r, run in enumerate(self.runs):
            labels = self.labels[run.val]
            for m, method in enumerate(self.methods):
                scores = validation_scores(labels, logits[m, r, : len(labels)])
                running = dict(
                    zip(("loss", "accuracy"), training[:, r, m], strict=True)
                )
                for part, values in (("train", running), ("val", scores)):
                    self.history += history_rows(
                        run, method.name, epoch, part, values
                    )
                if (
                    epoch >= self.first_epochs[m]
                    and scores["macro_f1"] > self.best_score[m, r]
                ):
                    self.best_score[m, r] = scores["macro_f1"]
                    self.best_epoch[m, r] = epoch + 1
                    group, place = self.model.places[m]
                    for best, now in zip(
                        self.best[group], groups[group], strict=True
                    ):
                        best[r, :, place] = now[r, :, place]
