"""The network that trains many heads in one compiled program.

R runs times M methods.  A run's methods share their first layer's input, so
one wide matrix product serves all those that see the same batches.
"""

import keras
import numpy as np
from keras import ops

from helpers.imbalance.splits import Split
from helpers.methods.losses import COSINE_SCALE
from helpers.models.layers import head_initializers

_EVALUATION_ROWS = 64


class Bank(keras.Model):
    """What a bank of R x M networks shares with another: streams and losses.

    Called on ``{"rows": int (1, S, R, B)}``, entries of what it learns from
    for each of S streams (or of one for all of them), it gives logits
    (1, R, M, B, C).  Training needs ``"epoch": int (1,)`` beside it, and
    labels (1, S, R, B).

    Parameters
    ----------
    name : of the model
    labels : int (N,), 0 ... C - 1
    runs : one `Split` a run
    methods : the methods; those with one sampler share a stream of batches
    epochs : of the training, for the methods that change late in it
    """

    def __init__(self, name, labels, runs, methods, epochs):
        super().__init__(name=name)
        self.methods, self.epochs = methods, epochs
        self.samplers = list(dict.fromkeys(m.sampler for m in methods))
        self.streams = [self.samplers.index(m.sampler) for m in methods]
        self.n_classes = int(labels.max()) + 1
        counts = training_counts(labels, runs, self.n_classes)
        self.losses_of = [m.loss(counts[:, None]) for m in methods]
        self.late_weights = [
            m.late_weights and m.late_weights(counts).astype("float32")
            for m in methods
        ]

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Sum over heads of each head's mean loss: gradients stay apart."""
        means = []
        for index, method in enumerate(self.methods):
            labels = y[0, self.streams[index]]
            # Labels as floats, as Keras hands them to a loss.
            values = self.losses_of[index].call(
                ops.cast(labels, "float32"), y_pred[0, :, index]
            )
            if method.late_weights:
                weights = ops.convert_to_tensor(self.late_weights[index])
                weights = ops.take_along_axis(
                    weights, ops.cast(labels, "int32"), axis=-1
                )
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

    Parameters
    ----------
    features : float32 (V, N, F), view 0 plain
    labels : int (N,), 0 ... C - 1
    runs : one `Split` a run
    methods : the methods; those with one sampler share a stream of batches
    dense, dropout : of the heads
    epochs : of the training, for the methods that change late in it

    An entry is ``view * N + row`` of the features.
    """

    def __init__(
        self, features, labels, runs, methods, dense, dropout, epochs
    ):
        super().__init__("head_bank", labels, runs, methods, epochs)
        self.dropout = dropout
        seeds = list(dict.fromkeys(run.seed for run in runs))
        self.seeds = [keras.random.SeedGenerator(seed) for seed in seeds]
        self.seed_of_run = [seeds.index(run.seed) for run in runs]
        plain = [features[0, run.train] for run in runs]
        mean = np.stack([part.mean(axis=0, keepdims=True) for part in plain])
        spread = np.stack([part.std(axis=0, keepdims=True) for part in plain])
        # A feature that never moves in training must not divide by zero.
        scale = 1 / np.where(spread > 1e-6 * spread.mean(), spread, np.inf)
        depth = features.shape[-1]
        self.features = _constant(self, features.reshape(-1, depth))
        self.mean, self.scale = _constant(self, mean), _constant(self, scale)
        kinds = [(m.sampler, m.cosine) for m in methods]
        self.kinds = list(dict.fromkeys(kinds))
        self.groups = [
            _Heads(
                runs, kinds.count(kind), depth, dense, self.n_classes, kind[1]
            )
            for kind in self.kinds
        ]
        # Where a method's heads are: its group, and its place in there.
        self.places = [
            (self.kinds.index(kind), kinds[:index].count(kind))
            for index, kind in enumerate(kinds)
        ]

    def call(self, inputs, training=False):
        rows = inputs["rows"][0]
        streams = [
            (ops.take(self.features, stream, axis=0) - self.mean) * self.scale
            for stream in (rows[index] for index in range(rows.shape[0]))
        ]
        masks = None
        if training and self.dropout:
            ones = ops.ones((rows.shape[-1], 1, self.groups[0].width))
            masks = ops.stack(
                [
                    keras.random.dropout(ones, self.dropout, seed=seed)
                    for seed in self.seeds
                ]
            )
            masks = ops.take(masks, self.seed_of_run, axis=0)
        logits = []
        for group, (sampler, _) in zip(self.groups, self.kinds, strict=True):
            stream = self.samplers.index(sampler) if len(streams) > 1 else 0
            logits.append(group(streams[stream], masks))
        if len(logits) == 1:
            return logits[0][None]
        # From the groups' order to that of the methods.
        starts = np.cumsum([0, *(part.shape[1] for part in logits)])
        order = [int(starts[group]) + place for group, place in self.places]
        return ops.take(ops.concatenate(logits, axis=1), order, axis=1)[None]


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
        self.first = _weight(self, first)
        self.first_bias = _weight(self, zeros.repeat(width, axis=-1))
        self.second = _weight(self, second)
        if not cosine:
            bias = zeros.repeat(n_classes, axis=-1)
            self.second_bias = _weight(self, bias)

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


def training_counts(
    labels: np.ndarray, runs: list[Split], n_classes: int
) -> np.ndarray:
    """Samples a class in each run's training part, int (R, C)."""
    return np.stack(
        [np.bincount(labels[run.train], minlength=n_classes) for run in runs]
    )


def _weight(layer, value, trainable=True):
    return layer.add_weight(
        shape=value.shape,
        initializer=lambda shape, dtype: ops.convert_to_tensor(value, dtype),
        trainable=trainable,
    )


def _constant(layer, value):
    return _weight(layer, value, trainable=False)
