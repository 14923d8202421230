"""The cells by name: their equations, the sizes of their states, their numbers of weights."""

from equations import (
    clockwork,
    deep_gate,
    depth_gated,
    elman,
    grid,
    gru,
    linear,
    lstm,
    memory_gated,
    normalised,
    odyssey,
    timed,
    xlstm,
)

_WITH_STATES_OF_N = (elman, lstm, gru, odyssey, memory_gated, deep_gate, normalised, linear)
_WITH_OTHER_STATES = (depth_gated, clockwork, grid, timed, xlstm)
_MODULES = _WITH_STATES_OF_N + _WITH_OTHER_STATES


def _merged(name, modules):
    tables = [getattr(module, name) for module in modules]
    merged = {key: value for table in tables for key, value in table.items()}
    assert len(merged) == sum(len(table) for table in tables), "two cells have one name"
    return merged


def _states_of_n(count):
    return lambda m, n, **options: [n] * count


EQUATIONS = _merged("EQUATIONS", _MODULES)

# Number of weights, biases included, for m inputs and n units: PARAMETERS[name](m, n, **options).
PARAMETERS = _merged("PARAMETERS", _MODULES)

# Of the cells whose states all have n columns, whatever their options.
NUMBER_OF_STATES = _merged("NUMBER_OF_STATES", _WITH_STATES_OF_N)

# The columns of each state of any cell, a tuple where a state has several axes:
# STATE_SIZES[name](m, n, **options).
STATE_SIZES = {name: _states_of_n(count) for name, count in NUMBER_OF_STATES.items()}
STATE_SIZES |= _merged("STATE_SIZES", _WITH_OTHER_STATES)
