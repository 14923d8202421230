"""How `attribution` finds what moved an output: sums of gradients, and what hiding changes."""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from keras_lstm_variants.analysis.model_calls import as_array

# What makes (batch,) outputs and their gradient, of a tensor like x.
Gradient = Callable[[Any], tuple[Any, Any]]


def allowed_gap(last: np.ndarray, first: np.ndarray, tolerance: float) -> np.ndarray:
    """By how much a sum may miss the difference of two outputs, precision included."""
    return tolerance * np.abs(last - first) + 1e-5 * np.maximum(np.abs(last), np.abs(first))


def integrated(
    gradient: Gradient, start: Any, x: Any, steps: int, most: int, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """The integral of the gradient from `start` to x, times the way, and the output at `start`.

    First by the middles of `steps` equal parts. Of rows for which that is not enough, the mesh is
    then refined where it is worst, up to `most` gradients: what a part of the way should
    contribute is known, the difference of the outputs at its ends.
    """
    way = x - start

    def look(at: Any) -> tuple[Any, np.ndarray, np.ndarray]:
        """Gradient, output, and the output's slope along the way, at (batch,) places of it."""
        places = ops.convert_to_tensor(np.asarray(at, "float64"), x.dtype)
        output, slope = gradient(start + ops.reshape(places, (-1, *[1] * (way.ndim - 1))) * way)
        return slope, _rows(output), _rows(way * slope)

    rows = x.shape[0]
    ends = [look(np.full(rows, at))[1:] for at in (0.0, 1.0)]
    first, last = ends[0][0], ends[1][0]
    middles = (np.arange(steps) + 0.5) / steps
    total, outputs, slopes = ops.zeros_like(x), [ends[0][0]], [ends[0][1]]
    for at in middles:
        slope, output, along = look(np.full(rows, at))
        total = total + slope
        outputs.append(output)
        slopes.append(along)
    values = as_array(way * total / steps)
    outputs.append(last)
    slopes.append(ends[1][1])
    allowed = allowed_gap(last, first, tolerance)
    coarse = np.abs(np.mean(slopes[1:-1], axis=0) - (last - first)) > allowed
    if most <= steps or not coarse.any():
        return values, first
    mesh = np.tile([0.0, *middles, 1.0], (rows, 1))
    mesh = _refined(mesh, np.stack(outputs, 1), np.stack(slopes, 1), look, most, allowed, coarse)
    total = ops.zeros_like(x)
    widths = np.diff(mesh, axis=1, prepend=0.0, append=1.0)
    for at, weight in zip(mesh.T, (widths[:, 1:] + widths[:, :-1]).T / 2, strict=True):
        weight = ops.reshape(ops.convert_to_tensor(weight, x.dtype), (-1, *[1] * (way.ndim - 1)))
        total = total + weight * look(at)[0]
    values[coarse] = as_array(way * total)[coarse]
    return values, first


def _refined(
    mesh: np.ndarray,
    outputs: np.ndarray,
    slopes: np.ndarray,
    look: Callable[[Any], Any],
    most: int,
    allowed: np.ndarray,
    coarse: np.ndarray,
) -> np.ndarray:
    """The mesh (rows, n) with more points, one a row and turn, where its trapezoids miss most."""
    while mesh.shape[1] < most:
        widths = np.diff(mesh, axis=1)
        missed = widths * (slopes[:, 1:] + slopes[:, :-1]) / 2 - np.diff(outputs, axis=1)
        missed = np.abs(missed)
        if not (coarse & (missed.sum(axis=1) > allowed)).any():
            break
        worst = missed.argmax(axis=1)[:, None]
        at = np.take_along_axis(mesh, worst, 1) + np.take_along_axis(widths, worst, 1) / 2
        _, output, along = look(at[:, 0])
        order = np.argsort(np.hstack([mesh, at]), axis=1, kind="stable")
        mesh, outputs, slopes = (
            np.take_along_axis(np.hstack([old, new]), order, 1)
            for old, new in ((mesh, at), (outputs, output[:, None]), (slopes, along[:, None]))
        )
    return mesh


def expected(
    gradient: Gradient,
    value: Callable[[Any], Any],
    baselines: Any,
    x: Any,
    steps: int,
    most: int,
    tolerance: float,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """The mean over baselines (n, ...) of the integrals, each at a random place of its way.

    `steps` draws for each row, and again as many until the sum is near enough, up to `most`. Also
    the mean output of the baselines that were drawn.
    """
    rows, last = x.shape[0], _rows(value(x))
    total, first, along = ops.zeros_like(x), np.zeros(rows), np.zeros(rows)
    drawn = 0
    while True:
        draws = [_drawn(random, len(baselines), steps) for _ in range(rows)]
        places, chosen = (np.stack(parts) for parts in zip(*draws, strict=True))
        for at, which in zip(places.T, chosen.T, strict=True):
            start = ops.take(baselines, which, axis=0)
            way, at = x - start, ops.convert_to_tensor(at, x.dtype)
            slope = gradient(start + ops.reshape(at, (-1, *[1] * (x.ndim - 1))) * way)[1]
            total = total + way * slope
            along += _rows(way * slope)
            first += _rows(value(start))
        drawn += steps
        difference = last - first / drawn
        near = np.abs(along / drawn - difference) <= allowed_gap(last, first / drawn, tolerance)
        if near.all() or drawn + steps > most:
            return as_array(total / drawn), first / drawn


def _drawn(random: np.random.Generator, count: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Places on the way, and from which of `count` baselines: of both as even as can be."""
    rounds = -(-steps // count)
    chosen = np.concatenate([random.permutation(count) for _ in range(rounds)])[:steps]
    times = np.bincount(chosen, minlength=count)
    order = np.argsort(chosen, kind="stable")
    part = np.empty(steps)  # the first, second, ... of the equal parts of a baseline's way
    part[order] = np.arange(steps) - (np.cumsum(times) - times)[chosen[order]]
    inside = (random.permutation(count) + random.uniform()) / count
    return (part + inside[chosen]) / times[chosen], chosen


def occluded(value: Callable[[Any], Any], start: Any, x: Any, axes: int) -> np.ndarray:
    """How the output changes when x is as `start` in one place, of the first `axes` behind rows."""
    sizes = tuple(x.shape[1 : 1 + axes])
    output, found = _rows(value(x)), []
    for place in np.ndindex(*sizes):
        hidden = np.zeros((1, *sizes, *[1] * (x.ndim - 1 - axes)), bool)
        hidden[(0, *place)] = True
        found.append(output - _rows(value(ops.where(hidden, start, x))))
    return np.stack(found, axis=1).reshape(-1, *sizes)


def _rows(values: Any) -> np.ndarray:
    """Of each row the sum, in double precision."""
    values = as_array(values).astype("float64")
    return values.reshape(len(values), -1).sum(axis=1)
