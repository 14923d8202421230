"""What a history of gates says in numbers, for pictures and for monitors."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

# What a name before its first "_" stands for where it is no gate: states and candidates,
# what attention saw, and where it looked (shares that sum to 1, so that most are small).
_NO_GATES = {"h", "c", "m", "g", "phase", "state", "context", "alpha"}


def check_history(history: Any) -> dict[str, np.ndarray]:
    """One layer's part of what `gate_history` returns, or a `ValueError`."""
    if isinstance(history, Mapping) and history and all(map(_is_array, history.values())):
        found = {name: np.asarray(value, float) for name, value in history.items()}
        shapes = {value.shape[:2] for value in found.values()}
        if len(shapes) == 1 and 0 not in shapes.pop():
            return found
    inner = ""
    if isinstance(history, Mapping) and any(isinstance(v, Mapping) for v in history.values()):
        inner = f" Choose one of its layers: {', '.join(map(repr, history))}."
    raise ValueError(
        "`history` must be what `klv.gate_history` returns for one layer: name -> array (batch, "
        f"time, ...), all of one batch and time, and not empty.{inner} Received: {_short(history)}"
    )


def _is_array(value: Any) -> bool:
    return not isinstance(value, Mapping | str) and np.ndim(value) >= 3


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return str({k: np.shape(v) if _is_array(v) else type(v).__name__ for k, v in value.items()})
    return type(value).__name__


def is_gate(name: str, values: np.ndarray) -> bool:
    """Whether these are the values of a gate: from 0 to 1, and no state or candidate by name."""
    real = values[np.isfinite(values)]
    in_range = not real.size or (real.min() >= 0 and real.max() <= 1)
    return name.split("_")[0] not in _NO_GATES and bool(in_range)


def gates_of(history: Mapping[str, np.ndarray]) -> list[str]:
    """The names of the gates in a layer's history."""
    return [name for name, values in history.items() if is_gate(name, values)]


def kept_shares(
    history: Mapping[str, np.ndarray], gate: str, sign: int = 1
) -> dict[str, np.ndarray]:
    """What each step keeps of the memory, (batch, time, units), by the gate's name.

    `gate` may be there for each level of a cell, as `f_1` and `f_2`; in a grid `f_time_1` is
    meant, and not `f_depth_1`, which acts on what goes from level to level.
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
    """Steps until half of a memory is left, (units,), from the mean share that a step keeps.

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
    """The length of a state at the steps (batch, time) that are on."""
    return np.linalg.norm(values.reshape(*on.shape, -1)[on], axis=-1)
