"""The recurrent network without gates."""

from equations.base import ACTIVATIONS, K, affine


def elman(x, states, w, *, activation="tanh"):
    """Elman 1990, Finding structure in time, Cognitive Science 14.

    h_t = act(x W + h U + b)

    Elman used the logistic function for act; the usual choice now is tanh.
    """
    (h,) = states
    act = ACTIVATIONS[activation]
    (a,) = affine(x, h, w, 1)
    h_new = act(a)
    return (h_new,), {}


EQUATIONS = {
    "Elman": elman,
}

NUMBER_OF_STATES = {
    "Elman": 1,
}

# Number of weights, biases included, for m inputs and n units.
PARAMETERS = {
    "Elman": lambda m, n, activation="tanh": K(1, m, n),
}
