"""What is a gate, and what a history of gates says in numbers."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_lstm_variants.layers.paths import state_names

# Candidates of cells that do not declare theirs, and what attention tells beside its gates: what
# it saw, and where it looked (shares that sum to 1, so that most are small).
_CANDIDATES = ("g", "context", "alpha")
# What states are called, where only a name is known.
_STATES = ("h", "c", "m", "phase", "state")


def is_gate(cell: Any, name: str) -> bool:
    """Whether a name in a cell's history is that of a gate, and of no candidate or state.

    Names count up to their first "_": `f_2` is the gate `f` of the second level.

    Args:
        cell: the cell; None where it is not known: then the name alone decides.
        name: the name, as the cell gives it in its steps.
    """
    short = name.split("_")[0]
    if short in getattr(cell, "candidates", _CANDIDATES):
        return False
    if cell is None:
        return short not in _STATES
    # A gate may be a state, too (FGR).
    return name not in state_names(cell) or short in getattr(cell, "gates", ())


def in_unit_range(values: np.ndarray) -> bool:
    """Whether all values are from 0 to 1, but for NaN."""
    real = values[np.isfinite(values)]
    return not real.size or bool(real.min() >= 0 and real.max() <= 1)


def gates_of(history: Mapping[str, np.ndarray]) -> list[str]:
    """The names of the gates in a layer's history whose values are from 0 to 1."""
    cell = getattr(history, "cell", None)
    return [n for n, values in history.items() if is_gate(cell, n) and in_unit_range(values)]


def kept_shares(
    history: Mapping[str, np.ndarray], gate: str, sign: int = 1
) -> dict[str, np.ndarray]:
    """What each step keeps of the memory, (batch, time, units), by the gate's name.

    A cell with levels has the gate for each, as `f_1` and `f_2`; of a grid's, `f_time_1` counts,
    and not `f_depth_1`, which acts between levels.
    """
    wanted = re.compile(rf"{re.escape(gate)}(_time)?(_\d+)?")
    return {
        name: values if sign > 0 else 1 - values
        for name, values in history.items()
        if wanted.fullmatch(name)
    }


def by_unit(values: np.ndarray) -> np.ndarray:
    """(batch, time, units) as (steps, units), without masked steps."""
    rows = values.reshape(-1, values.shape[-1])
    return rows[np.isfinite(rows).all(axis=-1)]


def half_lives(kept: np.ndarray) -> np.ndarray:
    """Steps until half of the memory is left, (units,), from the mean share that a step keeps.

    0 for a unit that keeps nothing, infinity for one that keeps all; NaN without any step.
    """
    rows = by_unit(kept)
    if not len(rows):
        return np.full(kept.shape[-1], np.nan)
    mean = rows.mean(axis=0, dtype="float64")
    with np.errstate(divide="ignore"):
        return np.where(mean >= 1, np.inf, np.log(0.5) / np.log(np.clip(mean, 0, 1)))


def saturated(values: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """The shares of steps at which each unit is below `low`, and above `high`: (units,) each."""
    rows = by_unit(values)
    if not len(rows):
        return np.full(values.shape[-1], np.nan), np.full(values.shape[-1], np.nan)
    return (rows < low).mean(axis=0), (rows > high).mean(axis=0)


def norms(values: np.ndarray, on: np.ndarray) -> np.ndarray:
    """The norm of a state at the steps (batch, time) that are not masked."""
    return np.linalg.norm(values.reshape(*on.shape, -1)[on], axis=-1)
