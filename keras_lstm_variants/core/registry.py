"""One decorator that makes a class loadable by Keras and lists its variant."""

import inspect
from typing import Any

import keras

from keras_lstm_variants.core import names

# The name under which Keras stores our classes in files. Never change it: it and
# the class names are the file format.
PACKAGE = "keras_lstm_variants"

_registered: dict[str, type] = {}
_packages: dict[str, str] = {}
_layers: dict[str, type] = {}


def register(cls: type | None = None, *, package: str = PACKAGE) -> Any:
    """Register a cell, layer or initializer, so that saved models which use it can be loaded.

    A layer with a `cell_class` also becomes a variant: `list_variants`, `get_variant`
    and `klv compare` know it by its class name; unless its calls need more than a sequence.

    Args:
        cls: the class; absent when used with arguments, `@register(package="mine")`.
        package: name of your package. With the class name it is the key in saved
            files, so keep both for as long as files should load.

    Raises:
        ValueError: another class of this name is registered already, or a class of yours
            is registered without `package`.

    Example:
        >>> import keras_lstm_variants as klv
        >>> @klv.register(package="docs_example")
        ... class TwiceCell(klv.ElmanCell):
        ...     def step(self, z, states, training=False):
        ...         (h,) = super().step(z, states, training)
        ...         return (2 * h,)
    """

    if not isinstance(package, str) or not package or ">" in package:
        raise ValueError(
            "`package` must be the name of your package, without `>`. "
            f"Received: package={package!r}"
        )

    def add(cls: type) -> type:
        if not inspect.isclass(cls) or not hasattr(cls, "get_config"):
            raise ValueError(
                "`cls` must be a class of a cell, layer or initializer, with `get_config`; other "
                f"arguments go by name. Received: cls={cls!r}"
            )
        if package == PACKAGE and cls.__module__.split(".")[0] != PACKAGE:
            raise ValueError(
                f"Register {cls.__name__} under the name of your own package: "
                '@register(package="..."). It is part of the format of saved files.'
            )
        known = _registered.get(cls.__name__)
        # Defined again, as when a notebook's cell is run twice: the new one counts.
        again = known and (known.__module__, known.__qualname__) == (
            cls.__module__,
            cls.__qualname__,
        )
        if known is not None and not again:
            raise ValueError(
                f"A class named {cls.__name__!r} is registered already "
                f"({known.__module__}.{known.__qualname__}): choose another name."
            )
        if again and _packages[cls.__name__] != package:
            raise ValueError(
                f"{cls.__name__} is registered already, as of `package="
                f"{_packages[cls.__name__]!r}`, and saved files know it so. "
                f"Received: package={package!r}"
            )
        keras.saving.register_keras_serializable(package=package)(cls)
        _packages[cls.__name__] = package
        _registered[cls.__name__] = cls
        if getattr(cls, "cell_class", None) is not None and not cls.needs_memory:
            _layers[cls.__name__] = cls
        return cls

    return add if cls is None else add(cls)


def list_variants() -> list[str]:
    """Names of all registered variants, in the order in which they were registered.

    Example:
        >>> import keras_lstm_variants as klv
        >>> "PeepholeLSTM" in klv.list_variants()
        True
    """
    return list(_layers)


def get_variant(name: str) -> type:
    """The layer class of a variant; its `cell_class` is the cell.

    Args:
        name: one of `list_variants()` in any case, the name of its cell, or `"SimpleRNN"` for
            Elman; as `klv ... --variants` takes it.

    Raises:
        ValueError: no such variant; the message names the nearest ones.

    Example:
        >>> import keras_lstm_variants as klv
        >>> klv.get_variant("peepholelstm").cell_class.__name__
        'PeepholeLSTMCell'
    """
    if not isinstance(name, str):
        raise ValueError(f"`name` must be the name of a variant. Received: name={name!r}")
    return _layers[find_variant(name)]


def find_variant(text: str) -> str:
    """The name that a person means: `lstm` and `LSTMCell` are LSTM.

    Raises:
        ValueError: no such variant; the message names the nearest ones.
    """
    with_memory = [n for n, c in _registered.items() if getattr(c, "needs_memory", False)]
    return names.find(text, _layers, with_memory)


def markdown_table() -> str:
    """The table of cells in README, made from the registered classes."""
    rows = [
        "| Layer | Cell | States | Columns of the kernels | `forget_bias` | Reference |",
        "|---|---|---|---|---|---|",
    ]
    for name, layer in _layers.items():
        cell = layer.cell_class
        keeps = "-"
        if cell.forget_gate:
            gate, sign = cell.forget_gate
            minus = "" if sign > 0 else ", with a minus"
            keeps = f"`{gate}`{minus}; usually {cell.usual_forget_bias:g}"
        rows.append(
            f"| `{name}` | `{cell.__name__}` | {' '.join(s.name for s in cell.states)} "
            f"| {' '.join(cell.gates)} | {keeps} | {cell.reference} |"
        )
    return "\n".join(rows) + "\n"
