"""Registering a cell, which makes its layer."""

import inspect
from typing import Any

from keras_lstm_variants.core import registry
from keras_lstm_variants.core.cell import Cell
from keras_lstm_variants.layers.cell_layer import CellLayer


def register(
    cls: type | None = None,
    *,
    package: str = registry.PACKAGE,
    aliases: tuple[str, ...] = (),
    layer: bool = True,
) -> Any:
    """Register a cell, layer or initializer, so that saved models which use it can be loaded.

    Of a `klv.Cell` whose name ends in "Cell" it also makes the layer, `cls.layer_class`: named
    without "Cell", with all arguments of the cell. It is a variant: `list_variants`,
    `get_variant` and `klv compare` know it by its name. A `klv.CellLayer` of this name that is
    written out and registered takes its place.

    Args:
        cls: the class; absent when used with arguments, `@register(package="mine")`.
        package: name of your package. With the class name it is the key in saved
            files, so keep both for as long as files should load.
        aliases: names that the class had before, under which files may know it still.
        layer: whether to make the layer of a cell.

    Raises:
        ValueError: another class of this name is registered already, or a class of yours
            is registered without `package`.

    Example:
        >>> import keras_lstm_variants as klv
        >>> @klv.register(package="docs_example", layer=False)
        ... class TwiceCell(klv.ElmanCell):
        ...     def step(self, z, states, training=False):
        ...         h, states = super().step(z, states, training)
        ...         return 2 * h, states
    """

    # Wrong arguments are refused before a class comes.
    register_class = registry.register(package=package, aliases=aliases)

    def add(cls: type) -> type:
        register_class(cls)
        is_cell = inspect.isclass(cls) and issubclass(cls, Cell)
        if layer and is_cell and cls.__name__.endswith("Cell"):
            old = tuple(name.removesuffix("Cell") for name in aliases)
            registry.register(made_layer(cls), package=package, aliases=old)
        return cls

    return add if cls is None else add(cls)


def made_layer(cell_class: type) -> type:
    """The layer of a cell, which it then knows as `layer_class`."""
    name = cell_class.__name__.removesuffix("Cell")
    namespace = {
        "__doc__": cell_class.__doc__,
        "__module__": cell_class.__module__,
        "__qualname__": cell_class.__qualname__.removesuffix("Cell"),
        "cell_class": cell_class,
        "made_by_register": True,
    }
    cell_class.layer_class = type(CellLayer)(name, (CellLayer,), namespace)
    return cell_class.layer_class
