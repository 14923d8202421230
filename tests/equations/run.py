"""Cells over sequences, and finite differences."""

import numpy as np

from equations.tables import EQUATIONS, STATE_SIZES


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
    **options,
):
    """Run a cell over x (batch, time, m), with Keras's rules for masks.

    Returns the outputs (batch, time, n), the tuple of final states, and the tuple of the states
    after each step (batch, time, columns), all sequences in processing order. `mask` is
    (batch, time), False where a step is masked: there the states keep their values and the output
    repeats the previous output (zeros before the first unmasked step), or is zero with
    zero_output_for_mask.
    `units` is n, needed where neither `states` nor w["recurrent_kernel"] tells it.
    """
    step = EQUATIONS[name]
    batch, time, m = x.shape
    n = units
    if n is None:
        n = w["recurrent_kernel"].shape[0] if states is None else states[0].shape[-1]
    if states is None:
        sizes = STATE_SIZES[name](m, n, **options)
        states = tuple(np.zeros((batch, size)) for size in sizes)
    states = tuple(states)
    if mask is None:
        mask = np.ones((batch, time), dtype=bool)
    order = range(time - 1, -1, -1) if go_backwards else range(time)

    output = np.zeros((batch, n))
    outputs = []
    history = []
    for t in order:
        keep = np.asarray(mask[:, t], dtype=bool)[:, None]
        new, _ = step(x[:, t], states, w, **options)
        masked_output = np.zeros((batch, n)) if zero_output_for_mask else output
        output = np.where(keep, new[0], masked_output)
        # The output is the first state, or stands before the states, of which it is none.
        new_states = new[-len(states) :]
        states = tuple(
            np.where(keep, new, old) for new, old in zip(new_states, states, strict=True)
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
