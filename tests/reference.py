"""Every loss once more, in float64 NumPy, as its paper writes it.

Nothing here comes from the helpers.  All take integer labels (N,) and logits
(N, C) and give one loss a sample, (N,).
"""

import numpy as np


def softmax(logits):
    """Eq. (2) of the CEFL paper, its sum taken over all the classes."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def truth(labels, logits):
    """Probability of the true class and its logarithm."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    rows = np.arange(len(labels))
    return softmax(logits)[rows, labels], logs[rows, labels]


def cross_entropy(labels, logits):
    """CEFL paper, eq. (4)."""
    return -truth(labels, logits)[1]


def weighted_cross_entropy(labels, logits, class_weights):
    """Acne paper, section 2.4.2."""
    return np.asarray(class_weights)[labels] * cross_entropy(labels, logits)


def focal(labels, logits, gamma, alpha=1.0):
    """CEFL paper, eq. (6) and (7); alpha may be one number a class."""
    p, log_p = truth(labels, logits)
    alpha = np.broadcast_to(alpha, logits.shape[-1])[labels]
    return -alpha * (1 - p) ** gamma * log_p


def cefl(labels, logits, gamma):
    """CEFL paper, eq. (9)."""
    p, log_p = truth(labels, logits)
    return -(1 - p) * log_p - p * (1 - p) ** gamma * log_p


def cefl2(labels, logits, gamma):
    """CEFL paper, eq. (11)."""
    p, log_p = truth(labels, logits)
    whole = (1 - p) ** 2 + p**2
    return (
        -((1 - p) ** 2) / whole * log_p
        - p**2 / whole * (1 - p) ** gamma * log_p
    )


def effective_number_weights(counts, beta):
    """Cui et al. (2019): (1 - beta) / (1 - beta^n), scaled to the sum C."""
    counts = np.asarray(counts, float)
    weights = (1 - beta) / (1 - beta**counts)
    return weights * len(counts) / weights.sum()


def logit_adjusted(labels, logits, counts, tau):
    """Menon et al. (2021), eq. (10), its right-hand form."""
    rows = np.arange(len(labels))
    prior = np.asarray(counts, float) / np.sum(counts)
    ratios = (prior / prior[labels][:, None]) ** tau
    terms = ratios * np.exp(logits - logits[rows, labels][:, None])
    terms[rows, labels] = 0
    return np.log1p(terms.sum(axis=-1))


def balanced_softmax(labels, logits, counts):
    """Ren et al. (2020), theorem 1: n_y exp z_y / sum n_c exp z_c."""
    rows = np.arange(len(labels))
    powers = np.asarray(counts, float) * np.exp(logits)
    return -np.log(powers[rows, labels] / powers.sum(axis=-1))


def ldam(labels, logits, counts, max_margin, scale):
    """Cao et al. (2019), eq. (12) and (13); logits are cosines times scale."""
    margins = 1 / np.sqrt(np.sqrt(np.asarray(counts, float)))
    margins = margins * max_margin / margins.max()
    moved = logits / scale
    moved[np.arange(len(labels)), labels] -= margins[labels]
    return cross_entropy(labels, scale * moved)


def balancing_weights(labels, logits, kind, cap):
    """Huang et al. (2019), of a batch: one class after another, in words.

    kind: "label_count_balance" gives the classes equal sums of weights,
    "loss_total_balance" equal sums of weighted cross-entropy.
    """
    mass = cross_entropy(labels, logits)
    if kind == "label_count_balance":
        mass = np.ones(len(labels))
    present = [c for c in np.unique(labels) if mass[labels == c].sum() > 0]
    weights = np.zeros(len(labels))
    for c in present:
        equal = mass.sum() / len(present)
        weights[labels == c] = equal / mass[labels == c].sum()
    return np.minimum(weights, cap)


def gradient(loss, labels, logits, step=1e-6):
    """Central differences of each sample's loss, (N, C)."""
    columns = []
    for column in range(logits.shape[-1]):
        move = np.zeros(logits.shape[-1])
        move[column] = step
        ahead, behind = (
            loss(labels, logits + move),
            loss(labels, logits - move),
        )
        columns.append((ahead - behind) / (2 * step))
    return np.stack(columns, axis=-1)
