"""One decorator that makes a class loadable by Keras and lists its variant."""

import inspect
import re
import sys
from types import ModuleType
from typing import Any

import keras

from keras_lstm_variants.core import names

# The name under which Keras stores our classes in files. Never change it: it and
# the class names are the file format.
PACKAGE = "keras_lstm_variants"

_registered: dict[str, type] = {}
_packages: dict[str, str] = {}
_layers: dict[str, type] = {}


def register(
    cls: type | None = None, *, package: str = PACKAGE, aliases: tuple[str, ...] = ()
) -> Any:
    """Register a class; see `layers.registration.register`, which also makes layers of cells."""

    if not isinstance(package, str) or not package or ">" in package:
        raise ValueError(
            "`package` must be the name of your package, without `>`. "
            f"Received: package={package!r}"
        )
    if isinstance(aliases, str) or not all(isinstance(name, str) and name for name in aliases):
        raise ValueError(f"`aliases` must be a tuple of names. Received: aliases={aliases!r}")

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
        # What `register` made of a cell gives way to what is written out.
        made = known is not None and "made_by_register" in vars(known)
        if known is not None and not again and not (made and hasattr(cls, "cell_class")):
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
        # The last name is the one that is saved.
        for name in (*aliases, cls.__name__):
            keras.saving.register_keras_serializable(package=package, name=name)(cls)
        _packages[cls.__name__] = package
        _registered[cls.__name__] = cls
        if getattr(cls, "cell_class", None) is not None and not cls.needs_memory:
            _layers[cls.__name__] = cls
        else:
            _layers.pop(cls.__name__, None)
        return cls

    return add if cls is None else add(cls)


def list_variants() -> list[str]:
    """Names of all registered variants: ours by the year of their reference, then yours.

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


def classes_of(module: ModuleType) -> dict[str, type]:
    """The registered classes that a module defines, by all public names that they have there."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
        and _registered.get(getattr(value, "__name__", "")) is value
    }


def order_by_year() -> None:
    """Put the variants that are registered so far in the order of their references' years.

    Those of one year, or without one, stay as they are.
    """

    def year(layer: type) -> int:
        found = re.search(r"\b(19|20)\d\d\b", layer.cell_class.reference)
        return int(found[0]) if found else sys.maxsize

    ordered = sorted(_layers.items(), key=lambda item: year(item[1]))
    _layers.clear()
    _layers.update(ordered)
