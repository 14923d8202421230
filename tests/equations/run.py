"""Cells over sequences, and finite differences."""

import numpy as np

from equations.tables import EQUATIONS, STATE_SIZES


def _reversed_times(times, mask):
    """What is left until the latest unmasked step of each row, so that gaps stay positive."""
    latest = np.max(times, axis=1, keepdims=True, where=mask, initial=-np.inf)
    return np.where(mask, latest - times, 0.0)


def _for_axes(keep, value):
    """`keep` (batch,), in a shape that broadcasts with `value`."""
    return keep.reshape(-1, *[1] * (value.ndim - 1))


def run(
    name,
    x,
    w,
    states=None,
    mask=None,
    go_backwards=False,
    zero_output_for_mask=False,
    *,
    units=None,
    side=None,
    **options,
):
    """Run a cell over x (batch, time, m), with Keras's rules for masks.

    Returns the outputs (batch, time, n), the tuple of final states, and the tuple of the states
    after each step (batch, time, ...), all sequences in processing order. `mask` is
    (batch, time), False where a step is masked: there the states keep their values and the output
    repeats the previous output (zeros before the first unmasked step), or is zero with
    zero_output_for_mask.
    `units` is n, needed where neither `states` nor w["recurrent_kernel"] tells it.
    `side` has inputs (batch, time, ...) by name, of which the cell gets those of the step. What
    they hold at masked steps has no effect. Backwards, the "times" of a step are its distance
    from the latest unmasked time of the row.
    """
    step = EQUATIONS[name]
    batch, time, m = x.shape
    if states is None:
        n = w["recurrent_kernel"].shape[0] if units is None else units
        sizes = STATE_SIZES[name](m, n, **options)
        states = tuple(np.zeros((batch, *np.atleast_1d(size))) for size in sizes)
    states = tuple(states)
    mask = np.ones((batch, time), dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    order = range(time - 1, -1, -1) if go_backwards else range(time)
    side = {
        key: np.where(mask.reshape(batch, time, *[1] * (value.ndim - 2)), value, 0.0)
        for key, value in (side or {}).items()
    }
    if go_backwards and "times" in side:
        side["times"] = _reversed_times(side["times"], mask)

    output = None
    outputs = []
    history = []
    for t in order:
        keep = mask[:, t]
        new, _ = step(x[:, t], states, w, **{key: v[:, t] for key, v in side.items()}, **options)
        # The output is the first state, or stands before the states, of which it is none.
        if output is None or zero_output_for_mask:
            output = np.zeros_like(new[0])
        output = np.where(_for_axes(keep, output), new[0], output)
        new_states = new[-len(states) :]
        states = tuple(
            np.where(_for_axes(keep, old), new, old)
            for new, old in zip(new_states, states, strict=True)
        )
        outputs.append(output)
        history.append(states)
    sequences = tuple(np.stack(s, axis=1) for s in zip(*history, strict=True))
    return np.stack(outputs, axis=1), states, sequences


def gradient(f, arrays, eps=1e-6):
    """Central finite differences of the scalar f(*arrays) with respect to each float64 array."""
    arrays = [np.array(a, dtype=np.float64) for a in arrays]
    gradients = []
    for a in arrays:
        g = np.zeros_like(a)
        for index in np.ndindex(a.shape):
            value = a[index]
            a[index] = value + eps
            above = f(*arrays)
            a[index] = value - eps
            below = f(*arrays)
            a[index] = value
            g[index] = (above - below) / (2.0 * eps)
        gradients.append(g)
    return gradients
