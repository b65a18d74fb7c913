"""How much a set of features tells pictures apart, in single numbers.

Features are (N, F): N pictures, F numbers each. All is computed in float64,
since the features of an untrained network are of the order of 1e-6.
"""

import numpy as np


def relative_spread(features: np.ndarray) -> float:
    """Spread across pictures relative to the mean: 0 where all are alike.

    The root mean square distance of the pictures' features from their mean,
    over the length of that mean. A change of scale leaves it as it is.
    """
    mean, centred = _centred(features)
    return float(
        np.sqrt((centred**2).sum(axis=1).mean()) / np.linalg.norm(mean)
    )


def effective_rank(features: np.ndarray) -> float:
    """How many directions the pictures really spread over, 1 to min(N, F).

    exp of the entropy of the centred features' singular values, scaled to
    sum 1 (Roy & Vetterli, EUSIPCO 2007). A change of scale leaves it as it
    is. Raises ValueError where all pictures have the same features.
    """
    values = np.linalg.svd(_centred(features)[1], compute_uv=False)
    if not values.any():
        raise ValueError("features: all pictures have the same features")
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def linear_cka(a: np.ndarray, b: np.ndarray) -> float:
    """Similarity of two feature sets of the same pictures, 0 to 1.

    Linear centred kernel alignment (Kornblith et al., ICML 2019, section 3):
    1 where one set is a rotated and rescaled version of the other, 0 where
    the pictures' similarities in the two sets have nothing in common.

    a, b: (N, F) and (N, G). Raises ValueError for another number of rows,
    or where one set is constant.
    """
    if len(a) != len(b):
        raise ValueError(
            f"features of the same pictures are needed, got {len(a)} and "
            f"{len(b)} rows"
        )
    # Pictures by pictures: the rows are far fewer than the features.
    kernels = [centred @ centred.T for _, centred in map(_centred, (a, b))]
    lengths = [np.linalg.norm(kernel) for kernel in kernels]
    if not all(lengths):
        raise ValueError("features: all pictures have the same features")
    return float((kernels[0] * kernels[1]).sum() / np.prod(lengths))


def _centred(features) -> tuple[np.ndarray, np.ndarray]:
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(
            "features: (N, F) of at least 2 pictures is needed, got "
            f"{features.shape}"
        )
    # Before the squares: 1e-6 to the fourth power is lost in rounding.
    features = features / (np.abs(features).max() or 1)
    mean = features.mean(axis=0)
    return mean, features - mean
