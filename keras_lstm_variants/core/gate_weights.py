"""The weights of a cell, with whose columns they have."""

import re
from typing import Any

from keras import ops

from keras_lstm_variants.core import checks, functions
from keras_lstm_variants.core.initializers import PerGate, another
from keras_lstm_variants.core.state import HALF_TYPES, GateWeight, fixed_dtype


class GateWeights:
    """Mixin of `Cell`: makes weights, and records the gates that their blocks belong to."""

    gate_weights: dict[str, GateWeight]
    fixed_weights: set[str]
    _initializers_used: list[Any]

    def columns_of(self, weight: str) -> tuple[str, ...]:
        """Gates in the order of a built weight's blocks; none for a weight without any."""
        record = self.gate_weights.get(weight)
        return () if record is None else record.gates

    def add_gate_weight(
        self,
        name: str,
        rows: int | None,
        initializer: Any,
        *,
        gates: tuple[str, ...] | None = None,
        kind: str | None = None,
        block: int | None = None,
    ) -> Any:
        """A weight with a block of columns for each gate: (rows, gates x units).

        Which columns are whose is recorded, for tools that read it. See `add_cell_weight`.

        Args:
            name: of the weight.
            rows: None for a weight without rows, as a bias.
            initializer: draws all columns at once.
            gates: in the order of the columns. None: all of the cell's. With none there is
                no weight, and None is returned.
            kind: see `add_cell_weight`.
            block: the number of a gate's columns where it is not `units`.
        """
        gates = self.gates if gates is None else tuple(gates)
        if not gates:
            return None
        columns = len(gates) * (self.units if block is None else block)
        shape = (columns,) if rows is None else (rows, columns)
        return self.add_cell_weight(name, shape, initializer, kind, block, gates=gates)

    def add_cell_weight(
        self,
        name: str,
        shape: tuple[int, ...],
        initializer: Any,
        kind: str | None = None,
        block: int | None = None,
        *,
        gates: tuple[str, ...] = (),
        axis: int = -1,
        dtype: str | None = None,
    ) -> Any:
        """A weight with the regularizer and constraint of its kind.

        `bias` takes `bias_regularizer` and `bias_constraint`, `recurrent_kernel` takes
        `recurrent_regularizer`, `input_projection` takes `input_regularizer`, and so on;
        where the name does not tell, `kind` does: `"kernel"`, `"recurrent"`, `"bias"`, ...
        `block` is the number of a gate's columns where it is not `units`. Where its entries
        belong to gates, `gates` names them in the order of their blocks along `axis`. With
        `dtype="float32"` it is of this type in half precision, too.
        """
        if not isinstance(name, str) or not name:
            raise ValueError(f"`name` must be the name of the weight. Received: name={name!r}")
        if block is not None:
            block = checks.positive_integer("block", block)
        initializer = functions.initializer("initializer", initializer)
        used = sum(i is initializer for i in self._initializers_used)
        self._initializers_used.append(initializer)
        # Of several weights with one initializer each is drawn on its own.
        initializer = another(initializer, used)
        if block is not None and isinstance(initializer, PerGate):
            initializer = initializer.with_units(block)
        if kind is None:
            kind = name if name == "kernel" else re.sub("_(kernel|projection)$", "", name)
        if not hasattr(self, f"{kind}_regularizer") or not hasattr(self, f"{kind}_constraint"):
            raise ValueError(
                f"{type(self).__name__} has no `{kind}_regularizer` and `{kind}_constraint` for "
                f"the weight {name!r}. Set them, or say with `kind` whose it takes: "
                f'add_cell_weight({name!r}, ..., kind="bias"), or "kernel", or "recurrent".'
            )

        if gates:
            self.gate_weights[name] = GateWeight(name, tuple(gates), axis, kind)
        if dtype is not None:
            self.fixed_weights.add(name)
        functions.check_values(f"{kind}_initializer", initializer, shape)

        def draw_in_float32(shape: tuple[int, ...], dtype: Any = None) -> Any:
            return ops.cast(initializer(shape, dtype="float32"), dtype)

        # QR and other decompositions do not exist for these.
        half = dtype is None and self.variable_dtype in HALF_TYPES
        return self.add_weight(
            shape=shape,
            name=name,
            initializer=draw_in_float32 if half else initializer,
            regularizer=getattr(self, f"{kind}_regularizer"),
            constraint=getattr(self, f"{kind}_constraint"),
            **({} if dtype is None else {"dtype": fixed_dtype(dtype, self), "autocast": False}),
        )
