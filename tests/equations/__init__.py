"""Reference equations of the recurrent cells, in float64 NumPy, one function for each paper.

Each cell function computes one time step: `x` is (batch, m), `states` a tuple of (batch, n)
arrays (h, then c), `w` a dict of weights in Keras layout. It returns the new states and the
activations of the gates by name. In the docstrings s() is the logistic sigmoid, * is
elementwise, and A_k = x W_k + h U_k + b_k is the affine block of gate k, with h the old output.

Where a cell has other states its docstring names them; the first is always the output.
"""

from equations.run import gradient, run
from equations.tables import EQUATIONS, NUMBER_OF_STATES, PARAMETERS, STATE_SIZES

__all__ = ["EQUATIONS", "NUMBER_OF_STATES", "PARAMETERS", "STATE_SIZES", "gradient", "run"]
