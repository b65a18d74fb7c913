"""Decision rules: what is added to a trained network's logits.

A rule gives one offset a class; the class with the largest logit plus offset
is decided for.  Nothing is trained again.
"""

import numpy as np

from helpers.evaluation.metrics import confusion_matrix, macro_f1_from
from helpers.imbalance.counts import class_counts

# In logits: a class's odds move by a factor of at most e^3 = 20.
_STEPS = np.array(sorted(np.linspace(-3, 3, 25), key=abs))
_SWEEPS = 2


def prior_offsets(counts, tau: float = 1.0) -> np.ndarray:
    """Post-hoc logit adjustment: ``-tau log pi_c``, float64 (C,).

    Divides each probability by its class's share of the training part, so
    that a network of the training part's odds decides as if all classes were
    equally frequent.  Source: Menon et al. (2021), eq. (9), arXiv:2007.07314;
    at tau = 1 the "thresholding" of Buda et al. (2018),
    doi:10.1016/j.neunet.2018.07.011.

    counts: int (C,), samples a class in training.  For counts (3, 1) the
    offsets are log(4/3) = 0.2877 and log 4 = 1.3863.  Raises ValueError
    where a class has no sample.
    """
    counts = np.asarray(counts)
    if (counts <= 0).any():
        raise ValueError(f"counts: a class without samples: {counts}")
    return -tau * np.log(counts / counts.sum())


def tuned_offsets(logits, labels) -> np.ndarray:
    """Threshold moving: the offsets that macro-F1 likes best, float64 (C,).

    Multiplying a class's probability by a cost, as Zhou & Liu (2006),
    doi:10.1109/TKDE.2006.17, do, adds the cost's logarithm to its logit.
    The costs are searched for, one class after the other, the rarest one
    first, twice round, in steps of 0.25 between -3 and 3; of equally good
    offsets the smallest is taken.

    logits: float (N, C) of *validation* samples, labels: int (N,).  With few
    samples of a class its offset fits noise: judge it on the test part only.
    """
    logits, labels = np.asarray(logits, float), np.asarray(labels)
    n_classes = logits.shape[-1]
    offsets = np.zeros(n_classes)
    rarest_first = np.argsort(class_counts(labels, n_classes))
    for label in np.tile(rarest_first, _SWEEPS):
        others = logits + offsets
        others[:, label] = -np.inf
        chosen = np.where(
            logits[:, label] + _STEPS[:, None] > others.max(axis=-1),
            label,
            others.argmax(axis=-1),
        )
        scores = macro_f1_from(confusion_matrix(labels, chosen, n_classes))
        offsets[label] = _STEPS[scores.argmax()]
    return offsets
