"""The cells that are linear in their state, with gates that see the input alone."""

import numpy as np

from equations.base import ACTIVATIONS, sigmoid


def min_gru(x, states, w, *, activation="linear"):
    """Feng et al. 2024, Were RNNs All We Needed?, arXiv 2410.01201.

    z = s(x W_z + b_z);  g = act(x W_g + b_g)
    h_t = (1 - z) * h_{t-1} + z * g

    The paper has no act: it is the identity. z writes. Columns: z, g.
    """
    (h,) = states
    a_z, a_g = np.split(x @ w["kernel"] + w.get("bias", 0.0), 2, axis=-1)
    z = sigmoid(a_z)
    g = ACTIVATIONS[activation](a_g)
    h_new = (1.0 - z) * h + z * g
    return (h_new,), {"z": z, "g": g}


EQUATIONS = {"MinGRU": min_gru}

NUMBER_OF_STATES = {"MinGRU": 1}

# Number of weights, biases included, for m inputs and n units.
PARAMETERS = {"MinGRU": lambda m, n, activation="linear": 2 * n * (m + 1)}
