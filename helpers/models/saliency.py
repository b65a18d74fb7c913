"""Maps of where a network looks, and how little they may mean.

For networks that are chains ``[base, *head]`` (`models.attention`), whose
gate, if they have one, is asked directly: ``gate.attention(base(images))``.
"""

import keras
import numpy as np
from keras import ops
from scipy.stats import rankdata


def grad_cam(
    model: keras.Sequential, images: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Grad-CAM: which places speak for a class.

    Selvaraju et al., ICCV 2017, arXiv:1610.02391, eq. (1)-(2): the base's
    maps, each weighted by the mean over places of the gradient of the class's
    logit, summed; what is negative, and speaks for other classes, becomes 0.

    Parameters
    ----------
    model : a chain of base and head, from images to logits (N, C)
    images : (N, H, W, 3), 0-255, all in memory at once
    labels : int (N,), the class that a map is asked for

    Returns
    -------
    float32 (N, h, w), 0 or more, on no common scale, as coarse as the maps.

    Raises
    ------
    ValueError
        Where the model is no chain.
    NotImplementedError
        On another backend than TensorFlow and JAX.
    """
    if not isinstance(model, keras.Sequential):
        raise ValueError(
            "model: a keras.Sequential of base and head is needed (see "
            f"helpers.models.attach), not a {type(model).__name__}"
        )
    base, *head = model.layers

    def of_class(maps):
        """Sum of each image's logit of its class: its maps move no other."""
        for layer in head:
            maps = layer(maps, training=False)
        return ops.sum(maps * ops.one_hot(labels, maps.shape[-1]))

    maps = base(ops.convert_to_tensor(images, "float32"))
    slope = ops.mean(_gradient(of_class, maps), axis=(1, 2), keepdims=True)
    cam = ops.relu(ops.sum(slope * maps, axis=-1))
    return ops.convert_to_numpy(cam)


def randomised(model: keras.Model, seed: int = 0) -> keras.Model:
    """The same network with every weight in another's place.

    The sanity check of Adebayo et al., NeurIPS 2018, arXiv:1810.03292: a map
    that stays the same when the network has forgotten all it learnt shows
    the image (its edges, its bright places), not what was learnt.  They
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


def places_found(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """How well a map tells places with a lesion from places without: (N,).

    The area under the ROC curve over an image's places: 1 where every place
    with a lesion is above all others, 0.5 by chance, below where the map
    shuns them.  NaN where all places are of one kind.

    Parameters
    ----------
    maps : (N, h, w)
    masks : bool (N, H, W), true on lesions, H and W multiples of h and w; a
        place holds a lesion where any of its pixels does

    Raises
    ------
    ValueError
        Where H or W is no such multiple.
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
    pairs = inside * (lesion.shape[1] - inside)
    return np.where(pairs > 0, above / np.maximum(pairs, 1), np.nan)


def _gradient(function, values):
    """Gradient of a scalar function, on either backend."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.grad(function)(values)
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(values)
            result = function(values)
        return tape.gradient(result, values)
    raise NotImplementedError(
        f"Grad-CAM needs KERAS_BACKEND tensorflow or jax, not {backend}"
    )
