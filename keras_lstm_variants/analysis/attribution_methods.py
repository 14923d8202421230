"""The methods of `attribution`: integrals of gradients, and occlusion."""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from keras_lstm_variants.analysis.model_calls import as_array

# From a tensor like x to the outputs (batch,) and their gradient.
Gradient = Callable[[Any], tuple[Any, Any]]


def allowed_gap(last: np.ndarray, first: np.ndarray, tolerance: float) -> np.ndarray:
    """The largest gap between a sum and the difference of two outputs, rounding included."""
    return tolerance * np.abs(last - first) + 1e-5 * np.maximum(np.abs(last), np.abs(first))


def integrated(
    gradient: Gradient, start: Any, x: Any, steps: int, most: int, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """The integral of the gradient from `start` to x, times x - start, and the output at `start`.

    First by the midpoints of `steps` equal intervals. For rows where that is not enough, the mesh
    is then refined where it is worst, up to `most` gradients: what an interval should contribute
    is known, the difference of the outputs at its ends.
    """
    path = x - start

    def at_shares(at: Any) -> tuple[Any, np.ndarray, np.ndarray]:
        """Gradient, output and directional derivative at these shares (batch,) of the path."""
        places = ops.convert_to_tensor(np.asarray(at, "float64"), x.dtype)
        output, slope = gradient(start + ops.reshape(places, (-1, *[1] * (path.ndim - 1))) * path)
        return slope, _rows(output), _rows(path * slope)

    rows = x.shape[0]
    ends = [at_shares(np.full(rows, at))[1:] for at in (0.0, 1.0)]
    first, last = ends[0][0], ends[1][0]
    middles = (np.arange(steps) + 0.5) / steps
    total, outputs, slopes = ops.zeros_like(x), [ends[0][0]], [ends[0][1]]
    for at in middles:
        slope, output, along = at_shares(np.full(rows, at))
        total = total + slope
        outputs.append(output)
        slopes.append(along)
    values = as_array(path * total / steps)
    outputs.append(last)
    slopes.append(ends[1][1])
    allowed = allowed_gap(last, first, tolerance)
    coarse = np.abs(np.mean(slopes[1:-1], axis=0) - (last - first)) > allowed
    if most <= steps or not coarse.any():
        return values, first
    mesh = np.tile([0.0, *middles, 1.0], (rows, 1))
    mesh = _refined(
        mesh, np.stack(outputs, 1), np.stack(slopes, 1), at_shares, most, allowed, coarse
    )
    total = ops.zeros_like(x)
    widths = np.diff(mesh, axis=1, prepend=0.0, append=1.0)
    for at, weight in zip(mesh.T, (widths[:, 1:] + widths[:, :-1]).T / 2, strict=True):
        weight = ops.reshape(ops.convert_to_tensor(weight, x.dtype), (-1, *[1] * (path.ndim - 1)))
        total = total + weight * at_shares(at)[0]
    values[coarse] = as_array(path * total)[coarse]
    return values, first


def _refined(
    mesh: np.ndarray,
    outputs: np.ndarray,
    slopes: np.ndarray,
    at_shares: Callable[[Any], Any],
    most: int,
    allowed: np.ndarray,
    coarse: np.ndarray,
) -> np.ndarray:
    """The mesh (rows, n) with more points, one a row at a time, where its trapezoids err most."""
    while mesh.shape[1] < most:
        widths = np.diff(mesh, axis=1)
        missed = widths * (slopes[:, 1:] + slopes[:, :-1]) / 2 - np.diff(outputs, axis=1)
        missed = np.abs(missed)
        if not (coarse & (missed.sum(axis=1) > allowed)).any():
            break
        worst = missed.argmax(axis=1)[:, None]
        at = np.take_along_axis(mesh, worst, 1) + np.take_along_axis(widths, worst, 1) / 2
        _, output, along = at_shares(at[:, 0])
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
    """The mean over baselines (n, ...) of the integrals, each at a random point of its path.

    `steps` draws for each row, and as many again until the sum is close enough, up to `most`. Also
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
            path, at = x - start, ops.convert_to_tensor(at, x.dtype)
            slope = gradient(start + ops.reshape(at, (-1, *[1] * (x.ndim - 1))) * path)[1]
            total = total + path * slope
            along += _rows(path * slope)
            first += _rows(value(start))
        drawn += steps
        difference = last - first / drawn
        near = np.abs(along / drawn - difference) <= allowed_gap(last, first / drawn, tolerance)
        if near.all() or drawn + steps > most:
            return as_array(total / drawn), first / drawn


def _drawn(random: np.random.Generator, count: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of the path, and from which of `count` baselines: both as evenly as possible."""
    rounds = -(-steps // count)
    chosen = np.concatenate([random.permutation(count) for _ in range(rounds)])[:steps]
    times = np.bincount(chosen, minlength=count)
    order = np.argsort(chosen, kind="stable")
    part = np.empty(steps)  # the first, second, ... of the equal intervals of a baseline's path
    part[order] = np.arange(steps) - (np.cumsum(times) - times)[chosen[order]]
    inside = (random.permutation(count) + random.uniform()) / count
    return (part + inside[chosen]) / times[chosen], chosen


def occluded(value: Callable[[Any], Any], start: Any, x: Any, axes: int) -> np.ndarray:
    """How the output changes when one place of x, along `axes` axes, is replaced by `start`."""
    sizes = tuple(x.shape[1 : 1 + axes])
    output, changes = _rows(value(x)), []
    for place in np.ndindex(*sizes):
        hidden = np.zeros((1, *sizes, *[1] * (x.ndim - 1 - axes)), bool)
        hidden[(0, *place)] = True
        changes.append(output - _rows(value(ops.where(hidden, start, x))))
    return np.stack(changes, axis=1).reshape(-1, *sizes)


def _rows(values: Any) -> np.ndarray:
    """The sum of each row, in double precision."""
    values = as_array(values).astype("float64")
    return values.reshape(len(values), -1).sum(axis=1)
