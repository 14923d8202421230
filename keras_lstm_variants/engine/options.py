"""What a loop is asked for, and what it returns."""

import dataclasses
from typing import Any, NamedTuple


@dataclasses.dataclass(frozen=True)
class LoopOptions:
    """How a cell is run over a sequence: what a layer is told, and its loops are.

    Args:
        training: passed to the cell, if it takes it.
        go_backwards: process from the end to the start.
        unroll: write the steps out instead of looping; the number must be known.
        zero_output_for_mask: the output of a masked step is zero, not the last one.
        keep_outputs, keep_states: return the outputs, the states of all steps.
        engine: "auto": the fast loop where it can run, which is in graphs, for a `Cell` whose
            step may be run twice; compiled by XLA once its shape has come back (see `recurring`).
            "xla": compiled from the first call on. "plain": the plain loop.
        recompute: in training, compute again what the gradient needs instead of keeping it.
        stop_gradient_every, clip_state_gradients: see `truncation`.
    """

    training: bool = False
    go_backwards: bool = False
    unroll: bool = False
    zero_output_for_mask: bool = False
    keep_outputs: bool = True
    keep_states: bool = False
    engine: str = "auto"
    recompute: bool = False
    stop_gradient_every: int | None = None
    clip_state_gradients: float | None = None

    def but(self, **changes: Any) -> "LoopOptions":
        """The same options with some changed."""
        return dataclasses.replace(self, **changes)


class Result(NamedTuple):
    """What a loop returns. Sequences are (batch, time, ...), in the order of processing.

    Within a loop, states and their sequences are flat lists; outside, the cell's structure.
    """

    last_output: Any
    outputs: Any  # None unless asked for
    states: Any
    state_sequences: Any  # None unless asked for
