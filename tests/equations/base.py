"""What several equations are written with."""

import numpy as np


def sigmoid(v):
    e = np.exp(-np.abs(v))
    return np.where(v >= 0, 1.0, e) / (1.0 + e)


ACTIVATIONS = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": lambda v: np.maximum(v, 0.0),
    "linear": lambda v: v,
}


def affine(x, h, w, count):
    """The `count` blocks A_k = x W_k + h U_k + b_k, in column order."""
    a = x @ w["kernel"] + h @ w["recurrent_kernel"] + w.get("bias", 0.0)
    return np.split(a, count, axis=-1)


def peephole_vectors(w, peepholes, allowed):
    """The vectors p_k by gate name, zero where a gate has none; rows are in the order i, f, o."""
    if not set(peepholes) <= set(allowed):
        raise ValueError(f"peepholes must be among {allowed}, got {peepholes}")
    p = {"i": 0.0, "f": 0.0, "o": 0.0}
    present = [k for k in ("i", "f", "o") if k in peepholes]
    for row, k in enumerate(present):
        p[k] = w["peephole_kernel"][row]
    return p


def K(r, m, n):
    """Number of weights of r affine blocks."""
    return r * n * (m + n + 1)
