"""Named layers: a cell and its layer in one, from the cell's own arguments."""

import inspect
import re
from typing import Any, ClassVar

from keras_lstm_variants.core import checks, configured
from keras_lstm_variants.core.cell import Cell
from keras_lstm_variants.layers.layer_docs import layer_doc
from keras_lstm_variants.layers.recurrent_layer import RecurrentLayer


class CellLayer(RecurrentLayer):
    """A cell and its layer in one: `CellLayer(units, ...)` with all arguments of the cell.

    `klv.register` makes one of each cell. A subclass that gives its `cell_class` is one that is
    written out; its docstring is completed with all arguments.

    Args:
        units: positive integer, the size of the output and of each state.
        activation, recurrent_activation, ...: all arguments of the cell.
        return_sequences, return_state, go_backwards, stateful, unroll,
            zero_output_for_mask, return_all_states, initial_state, engine, recompute,
            stop_gradient_every, clip_state_gradients: see `RecurrentLayer`.
        activity_regularizer: penalty on the output.
        use_cudnn: `"auto"` or False, accepted as in Keras; there is no cuDNN path, so it
            has no effect.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments: see `RecurrentLayer`.

    Raises:
        ValueError: an argument is unknown or out of its range, or `use_cudnn=True`.
    """

    cell_class: ClassVar[type]
    # Whether a call needs more than a sequence. Such a layer is no variant of another one.
    needs_memory: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "cell_class" not in vars(cls):
            return
        if not issubclass(cls.cell_class, Cell):
            raise TypeError(
                f"{cls.__name__}.cell_class must be a klv.Cell. Received: {cls.cell_class}. "
                "Other cells run in klv.RecurrentLayer(cell)."
            )
        of_cell = configured.parameters(cls.cell_class)
        of_layer = {
            name: p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for name, p in configured.parameters(RecurrentLayer).items()
            if name != "cell"
        }
        own = inspect.signature(_own_arguments).parameters
        more = (
            inspect.signature(vars(cls)["__init__"]).parameters if "__init__" in vars(cls) else {}
        )
        more = {n: p for n, p in more.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}
        cls.__signature__ = _OfClass(configured.in_order({**of_cell, **of_layer, **own, **more}))
        cls.gates, cls.reference = cls.cell_class.gates, cls.cell_class.reference
        cls.state_names = tuple(state.name for state in cls.cell_class.states)
        cls.__doc__ = layer_doc(cls, cls.__doc__ or "")
        if cls.__name__ == cls.cell_class.__name__.removesuffix("Cell"):
            cls.cell_class.layer_class = cls
        for name in of_cell:
            # As Keras's LSTM has them: layer.units, layer.activation, ...
            setattr(cls, name, _from_cell(name))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        signature = type(self).__signature__
        given = signature.bind(*args, **kwargs).arguments
        of_keras = given.pop("kwargs", {})
        unknown = set(of_keras) - _KERAS_ACCEPTS
        for name in sorted(unknown):
            known = [*signature.parameters, "name", "dtype", "trainable"]
            if name in ("forget_bias", "unit_forget_bias") and not self.cell_class.forget_gate:
                raise ValueError(
                    f"{type(self).__name__} has no gate that keeps its memory, so it takes no "
                    f"`{name}`. Received: {name}={of_keras[name]!r}"
                )
            if name in self.cell_class.not_taken:
                raise ValueError(
                    f"{type(self).__name__} has no use for `{name}`. "
                    f"Received: {name}={of_keras[name]!r}"
                )
            raise ValueError(
                f"{type(self).__name__} has no argument `{name}`. "
                f"Received: {name}={of_keras[name]!r}{checks.nearest(name, known)}"
            )
        use_cudnn = given.pop("use_cudnn", "auto")
        if use_cudnn is not False and not (isinstance(use_cudnn, str) and use_cudnn == "auto"):
            raise ValueError(
                "There is no cuDNN path, so `use_cudnn` must be 'auto' or False. "
                f"Received: use_cudnn={use_cudnn!r}"
            )
        of_cell = {n: given.pop(n) for n in configured.parameters(self.cell_class) if n in given}
        shared = {n: of_keras[n] for n in ("dtype", "trainable") if n in of_keras}
        cell = self.cell_class(**of_cell, **shared, name=_snake_case(self.cell_class.__name__))
        super().__init__(cell, **given, **of_keras)
        # An argument may change them.
        self.gates, self.state_names = cell.gates, cell.state_names
        self.use_cudnn = use_cudnn

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["cell"]
        config.update(self.cell.get_config(), **{n: config[n] for n in _OF_KERAS})
        config["activity_regularizer"] = configured.serialize(self.activity_regularizer)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "CellLayer":
        return cls(**config)


# Of these the first three are stored; the shapes are old Keras's, which warns of them.
_KERAS_ACCEPTS = {"name", "dtype", "trainable", "autocast", "input_shape", "input_dim"}

# Both the cell and the layer have these; the layer's own count.
_OF_KERAS = ("name", "dtype", "trainable")


class _OfClass:
    """The signature of a constructor: that of an instance is that of its call."""

    def __init__(self, signature: inspect.Signature) -> None:
        self.signature = signature

    def __get__(self, instance: Any, owner: type | None = None) -> inspect.Signature:
        if instance is not None:
            raise AttributeError("__signature__")
        return self.signature


def _own_arguments(*, activity_regularizer: Any = None, use_cudnn: str | bool = "auto") -> None:
    """Arguments that named layers have besides those of the cell and `RecurrentLayer`."""


def _from_cell(name: str) -> property:
    return property(lambda self: getattr(self.cell, name), doc=f"`{name}` of the cell.")


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
