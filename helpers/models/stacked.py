"""Many copies of one network, each with weights of its own, as one network.

Copies are laid out as R runs times M methods.  A convolution becomes patches
times kernels, one batched matrix product for all copies, which a compiled
program on few cores runs faster than many small convolutions.
"""

from types import SimpleNamespace

import keras
import numpy as np
from keras import layers, ops

from helpers.methods.losses import COSINE_SCALE


def stack(
    networks: list[keras.Model], cosine: list[bool], shared: bool = True
) -> keras.Model:
    """Stack M copies of each of R networks that differ in weights only.

    Parameters
    ----------
    networks : R functional models from images (N, H, W, K) to logits (N, C),
        made as those of `models.resnet`; each gives the initial weights of
        its M copies
    cosine : M entries, whether a copy's last layer is a cosine classifier:
        normalised features times normalised weights, no bias, times
        `helpers.methods.COSINE_SCALE`
    shared : whether the copies of a network see the same images

    Returns
    -------
    A model from images (R, 1, B, H, W, K), or (R, M, B, H, W, K) where they
    are not shared, to logits (R, M, B, C).  Each of its weights is that of
    the network behind two more axes, (R, M, ...).

    Raises ValueError where a network has a layer of another kind.
    """
    copies = (len(networks), len(cosine))

    def converted(layer):
        kind = type(layer)
        if kind in _UNCHANGED:
            return kind.from_config(layer.get_config())
        if kind not in _STACKED:
            known = [x.__name__ for x in (*_STACKED, *_UNCHANGED)]
            raise ValueError(
                f"networks: {kind.__name__} {layer.name!r} cannot be stacked; "
                f"only {known} can"
            )
        return _STACKED[kind](layer, copies, cosine)

    seen = 1 if shared else copies[1]
    shape = (copies[0], seen, None, *networks[0].input_shape[1:])
    model = keras.models.clone_model(
        networks[0],
        input_tensors=keras.Input(batch_shape=shape),
        clone_function=converted,
    )
    sources = zip(*(x.get_weights() for x in networks), strict=True)
    for variable, values in zip(model.weights, sources, strict=True):
        each = np.reshape(values, (copies[0], 1, *variable.shape[2:]))
        variable.assign(np.broadcast_to(each, variable.shape))
    return model


class _Stacked(layers.Layer):
    """What a layer of the network becomes; built on its input's shape."""

    def __init__(self, layer, copies, cosine):
        super().__init__(name=layer.name)
        # Not the layer itself: its weights would count as this one's.
        self.of, self.copies = SimpleNamespace(**layer.get_config()), copies
        self.cosine = np.reshape(cosine, (-1, 1, 1))

    def weight(self, name, shape, trainable=True):
        return self.add_weight(
            (*self.copies, *shape), name=name, trainable=trainable
        )


class _Convolution(_Stacked):
    def build(self, shape):
        of = self.of
        self.side, self.step = of.kernel_size[0], of.strides[0]
        same = of.padding == "same"
        plain = (of.kernel_size, of.strides, of.dilation_rate, of.groups)
        plain += (of.use_bias, of.activation, same and self.step > 1)
        squares = ((self.side,) * 2, (self.step,) * 2, (1, 1), 1)
        if plain != (*squares, False, "linear", False):
            raise ValueError(
                f"networks: convolution {self.name!r} is not a plain square "
                "one, of stride 1 where its padding is 'same'"
            )
        self.padding = self.side // 2 if same else 0
        depth = self.side**2 * shape[-1]
        self.kernel = self.weight("kernel", (depth, of.filters))

    def call(self, x):
        x = _padded(x, ((self.padding,) * 2,) * 2)
        height, width = (
            (n - self.side) // self.step + 1 for n in x.shape[-3:-1]
        )
        places = [
            x[
                ...,
                i : i + self.step * (height - 1) + 1 : self.step,
                j : j + self.step * (width - 1) + 1 : self.step,
                :,
            ]
            for i in range(self.side)
            for j in range(self.side)
        ]
        patches = ops.concatenate(places, axis=-1)
        shape = (*x.shape[:2], -1, self.kernel.shape[-2])
        out = ops.matmul(ops.reshape(patches, shape), self.kernel)
        return ops.reshape(
            out, (*self.copies, -1, height, width, out.shape[-1])
        )


class _BatchNormalization(_Stacked):
    def build(self, shape):
        # The order in which Keras' own layer makes its weights.
        width = (1, 1, 1, shape[-1])
        self.gamma = self.weight("gamma", width)
        self.beta = self.weight("beta", width)
        self.mean = self.weight("moving_mean", width, trainable=False)
        self.variance = self.weight("moving_variance", width, trainable=False)

    def call(self, x, training=False, mask=None):
        mean, variance = self.mean, self.variance
        if training:
            mean, variance = ops.moments(x, axes=(2, 3, 4), keepdims=True)
            keep = self.of.momentum
            for moving, now in ((self.mean, mean), (self.variance, variance)):
                moving.assign(keep * moving + (1 - keep) * now)
        scale = self.gamma * ops.rsqrt(variance + self.of.epsilon)
        return x * scale + (self.beta - mean * scale)


class _Dense(_Stacked):
    def build(self, shape):
        self.kernel = self.weight("kernel", (shape[-1], self.of.units))
        self.bias = self.weight("bias", (1, self.of.units))

    def call(self, x):
        logits = ops.matmul(x, self.kernel) + self.bias
        if not self.cosine.any():
            return logits
        cosines = ops.matmul(
            ops.normalize(x, axis=-1), ops.normalize(self.kernel, axis=-2)
        )
        return ops.where(self.cosine, COSINE_SCALE * cosines, logits)


class _ZeroPadding(_Stacked):
    def call(self, x):
        return _padded(x, self.of.padding)


class _Average(_Stacked):
    def call(self, x):
        return ops.mean(x, axis=(-3, -2))


def _padded(x, padding):
    if not np.any(padding):
        return x
    return ops.pad(x, ((0, 0), (0, 0), (0, 0), *padding, (0, 0)))


_UNCHANGED = (layers.ReLU, layers.Add, layers.Rescaling)
_STACKED = {
    layers.Dense: _Dense,
    layers.Conv2D: _Convolution,
    layers.BatchNormalization: _BatchNormalization,
    layers.ZeroPadding2D: _ZeroPadding,
    layers.GlobalAveragePooling2D: _Average,
}
