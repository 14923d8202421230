"""The one table of cells: a row for each, with the arguments worth testing.

The first entry of a row is the default cell, the last one has the most unusual arguments.
"""

from typing import Any

import keras
import numpy as np

import keras_lstm_variants as klv

ROWS: dict[str, list[dict[str, Any]]] = {
    "Elman": [{}, {"activation": "sigmoid"}],
    "LSTM1997": [{}, {"squashing": "original"}],
    "LSTM": [{}],
    "LayerNormLSTM": [{}, {"layer_norm_epsilon": 0.1}],
    "PeepholeLSTM": [{}, {"peepholes": ()}, {"peepholes": ("o", "f")}],
    "CoupledLSTM": [
        {},
        {"couple": "i=1-f", "peepholes": ("f",)},
        {"peepholes": ("i", "o")},
    ],
    "GRU": [{}, {"reset_after": False}],
    "NIGLSTM": [{}, {"peepholes": ()}, {"peepholes": ("o",)}],
    "NFGLSTM": [{}, {"peepholes": ()}, {"peepholes": ("o",)}],
    "NOGLSTM": [{}, {"peepholes": ()}, {"peepholes": ("f",)}],
    "NIAFLSTM": [{}, {"peepholes": ("i",)}],
    "NOAFLSTM": [{}, {"peepholes": ("f",)}],
    "NPLSTM": [{}],
    "CIFGLSTM": [{}, {"peepholes": ("o",)}],
    "FGRLSTM": [{}, {"peepholes": ()}, {"peepholes": ("o", "i")}],
    "MUT1": [{}],
    "MUT2": [{}],
    "MUT3": [{}],
    "DepthGatedLSTM": [
        {},
        {"depth": 1, "bottom": "none"},
        {"depth": 3, "coupled": True, "peepholes": ("o",)},
    ],
    "ClockworkRNN": [
        {},
        {"periods": (1, 3, 3), "group_units": (2, 1, 2)},
        {"periods": (1, 3), "offset": 2},
    ],
    "ClockworkLSTM": [
        {},
        {"periods": (1, 3, 3), "group_units": (2, 1, 2)},
        {"periods": (1, 3), "offset": 2},
    ],
    "GridLSTM": [
        {},
        {"depth": 1, "priority": None, "output_form": "tanh_o"},
        {"depth": 3, "tied": True, "priority": "time", "input_memory": True},
    ],
    "MemoryGatedLSTM": [
        {},
        {"candidate": "none"},
        {"candidate": "memory", "output_gate_memory": "current"},
        {"squash_memory": True, "output_gate_memory": "current"},
    ],
    "DeepGateLSTM": [
        {},
        {"gate_hidden_units": ()},
        {"gate_hidden_units": (4, 3), "deep_gates": ("f", "g")},
        {
            "gate_hidden_units": (4, 3),
            "deep_gates": ("i", "f", "g", "o"),
            "shared_trunk": True,
        },
    ],
    "MinGRU": [{}, {"activation": "tanh"}],
    "PhasedLSTM": [{}, {"peepholes": ("o",), "leak": 0.1}],
    "MatrixLSTM": [{}, {"heads": 5}],
}

# Cells that together use every feature of the protocol and of the loop: what is about loops and
# not about equations is tested with these, each with its most unusual arguments.
PROTOCOL = {
    "LSTM": "one product add_to the projected input, of which the sum alone is kept; two states",
    "PeepholeLSTM": "weights that meet old and new states in the step itself",
    "GRU": "one state; a product apart from the input; a bias of the recurrent side",
    "MUT1": "the raw input beside its projection; products of some columns, of what is no state",
    "FGRLSTM": "gates as states; two matrices; gates that see all others",
    "ClockworkLSTM": "a counter in float32; matrices for groups of units; units that keep still",
    "GridLSTM": "levels in one cell; products of states that the same step has made",
    "DeepGateLSTM": "layers inside gates, of another width; products of products",
}

LAYERS = list(ROWS)
GATED = [name for name in LAYERS if klv.get_variant(name).cell_class.forget_gate]
CASES = [(name, options) for name, row in ROWS.items() for options in row]
IDS = [f"{name}-{'-'.join(map(str, options.values())) or 'default'}" for name, options in CASES]

BATCH, TIME, FEATURES, UNITS = 4, 6, 3, 5

# Every row another pattern: left padding, holes, nothing real, right padding.
MASK = np.array(
    [[0, 0, 1, 1, 1, 1], [1, 0, 1, 1, 0, 1], [0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0]], bool
)


def sequences(dtype: str = "float32", time: int = TIME, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(BATCH, time, FEATURES)).astype(dtype)


def make(name: str, options: dict[str, Any] | None = None, **kwargs: Any) -> keras.layers.Layer:
    """A built layer whose weights are all random and distinct, biases and peepholes too."""
    layer = klv.get_variant(name)(UNITS, **(options or {}), **kwargs)
    batch = BATCH if kwargs.get("stateful") else None
    layer.build((batch, None, FEATURES))
    return randomize(layer)


def randomize(layer: keras.layers.Layer, seed: int = 1) -> keras.layers.Layer:
    random = np.random.default_rng(seed)
    for weight in layer.trainable_weights:
        value = random.normal(size=weight.shape) * 0.5
        # A phase passes its kinks at these, and close to zero every step does.
        away = {"period": 3.0, "open_ratio": 0.6}.get(weight.name)
        weight.assign(value if away is None else away + 0.2 * value)
    return layer


# What tests ask a cell beyond its call. All else is the cell's own affair.


def state_names(cell: Any) -> tuple[str, ...]:
    return tuple(cell.state_names)


def state_shapes(cell: Any) -> list[tuple[int, ...]]:
    """Of each state, without the batch."""
    return [state.shape_in(cell) for state in cell.states]


def are_counters(cell: Any) -> list[bool]:
    """Of each state whether it counts steps, and so has no gradient."""
    return [state.kind == "counter" for state in cell.states]


def columns_of(cell: Any, weight: str) -> tuple[str, ...]:
    """The gates whose columns a weight has, in their order."""
    return tuple(cell.columns_of(weight))


def shown_gates(cell: Any, x: Any, states: Any) -> dict[str, np.ndarray]:
    """What a step of the cell shows of itself, by name."""
    heard: list[dict[str, Any]] = []
    with cell.captured_by(heard.append):
        cell(x, states)
    (values,) = heard
    return {name: keras.ops.convert_to_numpy(value) for name, value in values.items()}


def states_of(layer: keras.layers.Layer, seed: int = 2, dtype: str = "float32") -> list[np.ndarray]:
    """States to start from: random ones, and phases as they may be in mid-sequence."""
    random = np.random.default_rng(seed)

    cell = layer.cell

    def draw(shape: tuple[int, ...], counts: bool) -> np.ndarray:
        if counts:
            # A phase for each period, or one time.
            below = cell.periods if shape == (len(cell.periods),) else 9
            return random.integers(below, size=(BATCH, *shape))
        return random.normal(size=(BATCH, *shape))

    states = zip(state_shapes(cell), are_counters(cell), strict=True)
    return [draw(*state).astype(dtype) for state in states]


def arrays(values: Any) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(v) for v in keras.tree.flatten(values)]


def assert_close(actual: Any, expected: Any, tolerance: float = 1e-6) -> None:
    """Per tensor, max |a - b| <= tolerance * max(1, max |b|)."""
    actual, expected = arrays(actual), arrays(expected)
    assert len(actual) == len(expected)
    for a, b in zip(actual, expected, strict=True):
        assert a.shape == b.shape
        if a.size:
            difference = np.max(np.abs(a.astype("float64") - b.astype("float64")))
            assert difference <= tolerance * max(1.0, np.max(np.abs(b.astype("float64"))))
