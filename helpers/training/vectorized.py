"""Many networks at once, one a method and run, in one compiled program.

A run's seed draws its initial weights, batches, augmented views and dropout
masks; all methods of a run share them, but for the batches of a sampler.
"""

import time
from functools import partial
from itertools import chain

import keras
import numpy as np
import pandas as pd
from keras import ops

from helpers.imbalance import Split
from helpers.methods import COSINE_SCALE, CrossEntropy
from helpers.models import head_initializers, small_resnet, stack
from helpers.training.comparison import (
    Epochs,
    Trained,
    chosen_methods,
    decide,
    epoch_batches,
    training_counts,
    two_at_a_time,
)
from helpers.training.recipe import Recipe

_EVALUATION_ROWS = 64


def train_heads(
    features: np.ndarray,
    labels: np.ndarray,
    runs: list[Split],
    methods: list[str],
    recipe: Recipe,
) -> Trained:
    """Train a Dense-Dropout-Dense head for every method and run.

    Features are standardised by each run's training rows (plain view).  Epochs
    and history are those of a head's logits as they are; a decision rule moves
    the logits returned.

    Parameters
    ----------
    features : float32 (V, N, F), view 0 plain, see
        `helpers.models.frozen_features`
    labels : int (N,), 0 ... C - 1
    runs : one `Split` a run; its ``seed`` draws weights, batches, dropout;
        all have as many batches an epoch as the largest training set needs
    methods : names in `helpers.methods.METHODS`
    recipe : without augmentation, which is that of the views

    Raises ValueError where features and labels do not match; see
    `chosen_methods`.
    """
    chosen = chosen_methods(methods, labels, runs, recipe)
    if features.ndim != 3 or features.shape[1] != len(labels):
        raise ValueError(
            f"features: (views, {len(labels)}, F) is needed, "
            f"got {features.shape}"
        )
    job = labels, runs, chosen, recipe
    return _train(partial(HeadBank, features), [range(len(runs))], *job)


def train_grid(
    images: np.ndarray,
    labels: np.ndarray,
    runs: list[Split],
    methods: list[str],
    recipe: Recipe,
    network=small_resnet,
    test_curves: bool = False,
) -> Trained:
    """Train a small network, end to end, for every method and run.

    Parameters
    ----------
    images : uint8 (N, H, W, channels)
    runs : runs of one size of training set share a program
    recipe : see `helpers.training.RECIPES`; without augmentation
    network : from (classes, an image's shape, seed) to a model that
        `helpers.models.stack` takes
    test_curves : whether the history also has the scores of the test set
        after every epoch, part "test"; nothing is chosen by them
    labels, methods : see `train_heads`, also for what is raised
    """
    chosen = chosen_methods(methods, labels, runs, recipe)
    if images.dtype != np.uint8 or images.shape[:-3] != labels.shape:
        raise ValueError(
            f"images: uint8 ({len(labels)}, H, W, channels) is needed, got "
            f"{images.dtype} {images.shape}"
        )
    if recipe.augmentation:
        raise ValueError(
            f"recipe: the grid does not augment ({recipe.augmentation})"
        )
    bank = partial(NetworkBank, images, network)
    sizes = [len(run.train) for run in runs]
    groups = [np.flatnonzero(np.equal(sizes, n)) for n in dict.fromkeys(sizes)]
    return _train(bank, groups, labels, runs, chosen, recipe, test_curves)


def _train(bank_of, groups, labels, runs, methods, recipe, test_curves=False):
    """Train one bank for each group of runs, given as places in ``runs``."""
    start = time.perf_counter()
    shape = (len(methods), len(runs))
    best_epoch = np.empty(shape, int)
    logits = np.empty((*shape, len(labels), int(labels.max()) + 1), "float32")

    def fit(group):
        some = [runs[r] for r in group]
        bank = bank_of(labels, some, methods, recipe)
        epochs = _fit(bank, some, labels, methods, recipe, test_curves)
        best_epoch[:, group] = epochs.best_epoch
        logits[:, group] = bank.logits([np.arange(len(labels))] * len(some))
        return epochs.history

    # Much of a small bank's time is compilation, which keeps one core busy.
    histories = two_at_a_time(fit, groups)
    decide(logits, labels, runs, methods)
    return Trained(
        methods=tuple(method.name for method in methods),
        runs=tuple(runs),
        logits=logits,
        best_epoch=best_epoch,
        history=pd.DataFrame(chain.from_iterable(histories)),
        seconds=time.perf_counter() - start,
    )


def _fit(bank, runs, labels, methods, recipe, test_curves):
    """Fit a bank of runs, its best weights restored; returns its `Epochs`."""
    size, views = recipe.batch_size, bank.n_views
    of_samplers = [
        epoch_batches(
            labels, runs, recipe.epochs, size, n_views=views, sampler=sampler
        )
        for sampler in bank.samplers
    ]
    rows = np.stack(of_samplers, axis=1)
    steps = len(rows) // recipe.epochs
    running = RunningScores(bank.streams, len(runs))
    job = labels, runs, methods, recipe, test_curves
    epochs = Epochs(
        *job, lambda logs: running.scores(), bank.logits, bank.keep_best
    )
    bank.compile(
        optimizer=recipe.new_optimizer(steps),
        metrics=[running],
        jit_compile=True,
        steps_per_execution=steps,
    )
    bank.fit(
        {"rows": rows, "epoch": np.arange(len(rows), dtype="int32") // steps},
        labels[rows % len(labels)],
        batch_size=1,
        shuffle=False,
        epochs=recipe.epochs,
        steps_per_epoch=steps,
        callbacks=[epochs],
        verbose=0,
    )
    bank.restore_best()
    return epochs


class RunningScores(keras.metrics.Metric):
    """Sums of cross-entropy and of hits over an epoch, (2, R, M)."""

    def __init__(self, streams, n_runs):
        super().__init__(name="running")
        self.streams = streams
        shape = (2, n_runs, len(streams))
        self.sums = self.add_variable(shape, initializer="zeros")
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


class Bank(keras.Model):
    """R x M networks: a stream of batches a sampler, and a loss a method.

    Called on ``{"rows": int (1, S, R, B)}``, entries ``view * N + row`` of
    what it learns from for each of S streams (or of one for all of them), it
    gives logits (1, R, M, B, C).  Training needs ``"epoch": int (1,)`` beside
    it, and labels (1, S, R, B).
    """

    n_views = 1

    def __init__(self, labels, runs, methods, recipe):
        super().__init__()
        self.methods, self.epochs = methods, recipe.epochs
        self.samplers = list(dict.fromkeys(m.sampler for m in methods))
        self.streams = [self.samplers.index(m.sampler) for m in methods]
        self.n_classes, self.best = int(labels.max()) + 1, []
        counts = training_counts(labels, runs)
        self.losses_of = [m.loss(counts[:, None]) for m in methods]
        self.late_weights = [
            m.late_weights and m.late_weights(counts).astype("float32")
            for m in methods
        ]

    def variables_of_networks(self):
        """Each variable, runs its axis 0, its axis of methods, and these."""
        raise NotImplementedError

    def keep_best(self, better):
        """Note the weights of the networks that are better, bool (M, R)."""
        places = self.variables_of_networks()
        now = [np.asarray(variable) for variable, *_ in places]
        self.best = self.best or [values.copy() for values in now]
        for best, values, (_, axis, methods) in zip(
            self.best, now, places, strict=True
        ):
            shape = np.ones(values.ndim, int)
            shape[[0, axis]] = better.shape[1], len(methods)
            mask = better[methods].T.reshape(shape)
            np.copyto(best, values, where=mask)

    def restore_best(self):
        """Load what was noted, if anything was."""
        places = self.variables_of_networks() if self.best else []
        for (variable, *_), best in zip(places, self.best, strict=True):
            variable.assign(best)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Sum over networks of each one's mean loss: gradients stay apart."""
        means = []
        for index, method in enumerate(self.methods):
            labels = ops.cast(y[0, self.streams[index]], "int32")
            # Labels as floats, as Keras hands them to a loss.
            values = self.losses_of[index].call(
                ops.cast(labels, "float32"), y_pred[0, :, index]
            )
            if method.late_weights:
                weights = ops.convert_to_tensor(self.late_weights[index])
                weights = ops.take_along_axis(weights, labels, axis=-1)
                late = x["epoch"][0] >= method.late_epoch(self.epochs)
                values *= ops.where(late, weights, 1.0)
            means.append(ops.mean(values, axis=-1))
        return ops.sum(ops.stack(means))

    def logits(self, rows):
        """Logits (M, R, N, C) of a list of R equally long row arrays."""
        count = len(rows[0])
        chunks = -(-count // _EVALUATION_ROWS)
        padded = np.zeros((len(rows), chunks * _EVALUATION_ROWS), "int32")
        padded[:, :count] = rows
        padded = padded.reshape(len(rows), chunks, -1).swapaxes(0, 1)
        inputs = {"rows": padded[:, None]}
        out = self.predict(inputs, batch_size=1, verbose=0)
        out = out.transpose(2, 1, 0, 3, 4)
        return out.reshape(*out.shape[:2], -1, out.shape[-1])[:, :, :count]


class HeadBank(Bank):
    """A Dense-Dropout-Dense head on frozen features for each run and method.

    A run's methods share their first layer's input, so one wide matrix
    product serves all those that see the same batches.
    """

    def __init__(self, features, labels, runs, methods, recipe):
        super().__init__(labels, runs, methods, recipe)
        self.n_views, self.dropout = features.shape[0], recipe.dropout
        seeds = list(dict.fromkeys(run.seed for run in runs))
        self.seeds = [keras.random.SeedGenerator(seed) for seed in seeds]
        self.seed_of_run = [seeds.index(run.seed) for run in runs]
        plain = [features[0, run.train] for run in runs]
        mean = np.stack([x.mean(axis=0, keepdims=True) for x in plain])
        std = np.stack([x.std(axis=0, keepdims=True) for x in plain])
        # A feature that never moves in training must not divide by zero.
        scale = 1 / np.where(std > 1e-6 * std.mean(), std, np.inf)
        depth, width = features.shape[-1], recipe.dense
        flat = features.reshape(-1, depth)
        self.features = _variable(self, flat, trainable=False)
        self.mean = _variable(self, mean, trainable=False)
        self.scale = _variable(self, scale, trainable=False)
        # Methods of one kind, by sampler and classifier, are one layer.
        kinds = {}
        for place, method in enumerate(methods):
            kind = method.sampler, method.cosine
            kinds.setdefault(kind, []).append(place)
        self.kinds, self.members = list(kinds), list(kinds.values())
        sizes = depth, width, self.n_classes
        self.groups = [
            _Heads(runs, len(members), *sizes, cosine)
            for (_, cosine), members in kinds.items()
        ]
        # From the groups' order to that of the methods.
        self.order = np.argsort(np.concatenate(self.members))

    def variables_of_networks(self):
        return [
            (variable, 2, methods)
            for group, methods in zip(self.groups, self.members, strict=True)
            for variable in group.trainable_variables
        ]

    def call(self, inputs, training=False):
        rows = inputs["rows"][0]
        streams = [
            (ops.take(self.features, rows[k], axis=0) - self.mean) * self.scale
            for k in range(rows.shape[0])
        ]
        masks = None
        if training and self.dropout:
            ones = ops.ones((rows.shape[-1], 1, self.groups[0].width))
            drop = [
                keras.random.dropout(ones, self.dropout, seed=seed)
                for seed in self.seeds
            ]
            masks = ops.take(ops.stack(drop), self.seed_of_run, axis=0)
        logits = []
        for group, (sampler, _) in zip(self.groups, self.kinds, strict=True):
            stream = self.samplers.index(sampler) if len(streams) > 1 else 0
            logits.append(group(streams[stream], masks))
        joined = ops.concatenate(logits, axis=1)
        return ops.take(joined, self.order, axis=1)[None]


class _Heads(keras.layers.Layer):
    """R x M heads of one kind: inputs (R, B, F) to logits (R, M, B, C)."""

    def __init__(self, runs, n_methods, depth, width, n_classes, cosine):
        super().__init__(name="heads")
        self.width, self.cosine = width, cosine
        first = np.empty((len(runs), depth, n_methods, width), "float32")
        second = np.empty((len(runs), width, n_methods, n_classes), "float32")
        for index, run in enumerate(runs):
            inner, outer = head_initializers(run.seed)
            first[index] = np.asarray(inner((depth, width)))[:, None]
            second[index] = np.asarray(outer((width, n_classes)))[:, None]
        zeros = np.zeros((len(runs), 1, n_methods, 1), "float32")
        self.first = _variable(self, first)
        self.first_bias = _variable(self, zeros.repeat(width, axis=-1))
        self.second = _variable(self, second)
        if not cosine:
            bias = zeros.repeat(n_classes, axis=-1)
            self.second_bias = _variable(self, bias)

    def call(self, x, masks):
        n_runs, depth, n_methods, width = self.first.shape
        wide = ops.reshape(self.first, (n_runs, depth, n_methods * width))
        hidden = ops.reshape(
            ops.matmul(x, wide), (n_runs, x.shape[1], n_methods, width)
        )
        hidden = ops.relu(hidden + self.first_bias)
        if masks is not None:
            hidden *= masks
        second = self.second
        if self.cosine:
            hidden = COSINE_SCALE * ops.normalize(hidden, axis=-1)
            second = ops.normalize(second, axis=1)
        logits = ops.einsum("rbmh,rhmc->rmbc", hidden, second)
        if self.cosine:
            return logits
        return logits + ops.transpose(self.second_bias, (0, 2, 1, 3))


class NetworkBank(Bank):
    """A whole network for each run and method, see `helpers.models.stack`."""

    def __init__(self, images, network, labels, runs, methods, recipe):
        super().__init__(labels, runs, methods, recipe)
        shape, cosine = images.shape[1:], [m.cosine for m in methods]
        each = [network(self.n_classes, shape, run.seed) for run in runs]
        shared = len(self.samplers) == 1
        self.networks = stack(each, cosine, shared=shared)
        self.images = _variable(self, images, "uint8", trainable=False)

    def variables_of_networks(self):
        methods = range(len(self.methods))
        return [(variable, 1, methods) for variable in self.networks.weights]

    def call(self, inputs, training=False):
        rows = inputs["rows"][0]
        copies = self.networks.input_shape[1]
        if rows.shape[0] != copies:
            streams = self.streams if rows.shape[0] > 1 else [0] * copies
            rows = ops.take(rows, streams, axis=0)
        images = ops.take(self.images, ops.swapaxes(rows, 0, 1), axis=0)
        images = ops.cast(images, "float32")
        return self.networks(images, training=training)[None]


def _variable(layer, value, dtype=None, trainable=True):
    return layer.add_weight(
        shape=value.shape,
        initializer=lambda shape, dtype: ops.convert_to_tensor(value, dtype),
        dtype=dtype,
        trainable=trainable,
    )
