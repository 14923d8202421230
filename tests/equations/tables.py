"""The cells by name: their equations, the sizes of their states, their numbers of weights."""

import importlib
import pkgutil

import equations

_FILES = sorted(file.name for file in pkgutil.iter_modules(equations.__path__))
_MODULES = [importlib.import_module(f"equations.{name}") for name in _FILES]


def _merged(name):
    """The tables of this name of all modules that have one."""
    tables = [getattr(module, name, {}) for module in _MODULES]
    merged = {key: value for table in tables for key, value in table.items()}
    assert len(merged) == sum(len(table) for table in tables), "two cells have one name"
    return merged


def _states_of_n(count):
    return lambda m, n, **options: [n] * count


EQUATIONS = _merged("EQUATIONS")

# Number of weights, biases included, for m inputs and n units: PARAMETERS[name](m, n, **options).
PARAMETERS = _merged("PARAMETERS")

# Of the cells whose states all have n columns, whatever their options.
NUMBER_OF_STATES = _merged("NUMBER_OF_STATES")

# The columns of each state of any cell, a tuple where a state has several axes:
# STATE_SIZES[name](m, n, **options).
STATE_SIZES = {name: _states_of_n(count) for name, count in NUMBER_OF_STATES.items()}
STATE_SIZES |= _merged("STATE_SIZES")
