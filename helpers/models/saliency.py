"""Maps of where a network looks, and how little they may mean.

For networks that are chains of a base and a head (`models.attention`).  The
code is the same on every backend, but for the gradient.
"""

import keras
import numpy as np
from scipy.stats import rankdata

from helpers.models.attention import SpatialGate

BATCH_SIZE = 32


def grad_cam(
    model: keras.Sequential,
    images: np.ndarray,
    labels: np.ndarray,
    layer: str | None = None,
) -> np.ndarray:
    """Grad-CAM: which places speak for a class.

    Selvaraju et al., ICCV 2017, arXiv:1610.02391, eq. (1)-(2): the layer's
    maps, each weighted by the mean over places of the gradient of the class's
    logit, summed; what is negative, and speaks for other classes, becomes 0.

    Parameters
    ----------
    model : from pictures to logits (N, C)
    images : (N, H, W, 3), 0-255
    labels : int (N,), the class that a map is asked for
    layer : name of a layer of the chain whose output are maps; default: the
        base, the first of the model's layers

    Returns
    -------
    float32 (N, h, w), 0 or more, on no common scale, as coarse as the maps.

    Raises
    ------
    ValueError
        Where the model is no chain, or the layer not in it or without maps.
    """
    before, after = _cut(model, layer)

    def of_batch(pictures, wanted):
        maps = before(pictures)
        if len(maps.shape) != 4:
            raise ValueError(
                f"layer: {layer!r} gives {tuple(maps.shape)}, not maps "
                "(N, h, w, F); name one before the pooling"
            )
        slope = _slope_of_logit(after, maps, wanted)
        weight = keras.ops.mean(slope, axis=(1, 2), keepdims=True)
        return keras.ops.relu(keras.ops.sum(weight * maps, axis=-1))

    return _by_batch(of_batch, images.astype("float32"), labels)


def attention_maps(model: keras.Sequential, images: np.ndarray) -> np.ndarray:
    """What the model's `SpatialGate` multiplies each place by.

    ``images`` are (N, H, W, 3), 0-255, or whatever the model takes; float32
    (N, h, w), from 0 to 1.  Unlike `grad_cam` it asks for no class: it is the
    same whatever the network decides.  ValueError for a model without gate.
    """
    gates = [x for x in _chain(model) if isinstance(x, SpatialGate)]
    if not gates:
        raise ValueError(
            "model: there is no SpatialGate in it; build it with "
            "pooling='attention'"
        )
    before, _ = _cut(model, gates[0].name)
    # The cut holds the gate too, whose input is what it is asked about.
    before = before.layers[:-1]

    def of_batch(pictures):
        for layer in before:
            pictures = layer(pictures)
        return gates[0].attention(pictures)[..., 0]

    return _by_batch(of_batch, images.astype("float32"))


def randomised(model: keras.Model, seed: int = 0) -> keras.Model:
    """The same network with every weight in another's place.

    The sanity check of Adebayo et al., NeurIPS 2018, arXiv:1810.03292: a map
    that stays the same when the network has forgotten all it learnt shows
    the picture (its edges, its bright places), not what was learnt.  They
    draw new weights; here each array is shuffled, which keeps its values, so
    that no network falls silent because of their size.
    """
    rng = np.random.default_rng(seed)
    copy = keras.models.clone_model(model)
    copy.set_weights(
        [
            rng.permutation(values.ravel()).reshape(values.shape)
            for values in model.get_weights()
        ]
    )
    return copy


def agreement(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of two maps of a picture: (N,).

    Both are (N, h, w).  1: the same places, in the same order; 0: nothing
    in common.  NaN where one of a picture's maps is flat and orders nothing.
    """
    if maps.shape != others.shape:
        raise ValueError(
            f"others: {others.shape} is not the shape of maps, {maps.shape}"
        )
    ranks = [rankdata(x.reshape(len(x), -1), axis=1) for x in (maps, others)]
    a, b = (x - x.mean(axis=1, keepdims=True) for x in ranks)
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return _or_nan((a * b).sum(axis=1), scale)


def places_found(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """How well a map tells places with a lesion from places without: (N,).

    The area under the ROC curve over a picture's places: 1 where every place
    with a lesion is above all others, 0.5 by chance, below where the map
    shuns them.  NaN where all places are of one kind.

    Parameters
    ----------
    maps : (N, h, w)
    masks : bool (N, H, W), true on lesions, H and W multiples of h and w; a
        place holds a lesion where any of its pixels does
    """
    n, height, width = maps.shape
    if len(masks) != n or masks.shape[1] % height or masks.shape[2] % width:
        raise ValueError(
            f"masks: {masks.shape} is no multiple of the maps' {maps.shape}"
        )
    cells = np.reshape(masks, (n, height, -1, width, masks.shape[2] // width))
    lesion = cells.any(axis=(2, 4)).reshape(n, -1)
    ranks = rankdata(maps.reshape(n, -1), axis=1)
    inside = lesion.sum(axis=1)
    # Mann and Whitney: the pairs in which the lesion's place is above.
    above = (ranks * lesion).sum(axis=1) - inside * (inside + 1) / 2
    return _or_nan(above, inside * (lesion.shape[1] - inside))


def _chain(model):
    """The layers of a chain, those of chains in it too, in order."""
    for layer in model.layers:
        if isinstance(layer, keras.Sequential):
            yield from _chain(layer)
        else:
            yield layer


def _cut(model, name):
    """Two chains: up to the named layer's output, and on from there."""
    if not isinstance(model, keras.Sequential):
        raise ValueError(
            "model: a keras.Sequential of base and head is needed (see "
            f"helpers.models.attention.attach), not a {type(model).__name__}"
        )
    links = list(model.layers)
    if name is None:
        at = 0
    else:
        if name not in [link.name for link in links]:
            links = list(_chain(model))
        names = [link.name for link in links]
        if name not in names:
            raise ValueError(f"layer: {name!r} is none of {names}")
        at = names.index(name)
    return keras.Sequential(links[: at + 1]), keras.Sequential(links[at + 1 :])


def _slope_of_logit(after, maps, labels):
    """Gradient of each picture's logit of its class, for its maps."""

    def total(maps):
        logits = after(maps, training=False)
        wanted = keras.ops.one_hot(labels, logits.shape[-1])
        # A picture's maps move its own logits only, so that one sum does.
        return keras.ops.sum(logits * wanted)

    if keras.backend.backend() == "jax":
        import jax

        return jax.grad(total)(maps)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(maps)
            value = total(maps)
        return tape.gradient(value, maps)
    raise NotImplementedError(
        "Grad-CAM needs KERAS_BACKEND tensorflow or jax, not "
        f"{keras.backend.backend()}"
    )


def _by_batch(function, *arrays):
    """The function's results for rows of the arrays, a batch at a time."""
    parts = []
    for start in range(0, len(arrays[0]), BATCH_SIZE):
        rows = (array[start : start + BATCH_SIZE] for array in arrays)
        parts.append(
            keras.ops.convert_to_numpy(
                function(*map(keras.ops.convert_to_tensor, rows))
            )
        )
    return np.concatenate(parts)


def _or_nan(part, whole):
    """Part over whole, and NaN where that is nothing."""
    return np.where(whole == 0, np.nan, part / np.where(whole == 0, 1, whole))
