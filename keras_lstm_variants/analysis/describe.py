"""What a cell is: its equations, reference, states and weights, with their numbers."""

import concurrent.futures
import inspect
import json
import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, overload

import keras

from keras_lstm_variants.analysis.describe_text import as_markdown, as_text
from keras_lstm_variants.core import checks
from keras_lstm_variants.core.registry import get_variant
from keras_lstm_variants.layers.cell_tree import is_cell
from keras_lstm_variants.layers.paths import state_names


@overload
def describe(
    variant: str | type | keras.layers.Layer,
    features: int | None = None,
    units: int | None = None,
    *,
    format: Literal["dict"],
    **options: Any,
) -> dict[str, Any]: ...


@overload
def describe(
    variant: str | type | keras.layers.Layer,
    features: int | None = None,
    units: int | None = None,
    *,
    format: Literal["text", "markdown", "json"] = "text",
    **options: Any,
) -> str: ...


def describe(
    variant: str | type | keras.layers.Layer,
    features: int | None = None,
    units: int | None = None,
    *,
    format: str = "text",
    **options: Any,
) -> str | dict[str, Any]:
    """Equations, reference, states and weights of a cell, with an LSTM's number for comparison.

    Args:
        variant: name of a registered variant, its layer class, or any cell class, of this package
            or yours; or a layer or cell, built or not, which is described as it is.
        features: number of input features, at most 1,000,000; also called `input_dim`. Default:
            80; of a built layer or cell, its own.
        units: number of units, at most 1,000,000. Default: 12; of a layer or cell, its own.
        format: `"text"`, `"markdown"`, `"json"` or, in Python, `"dict"`.
        **options: further arguments of the cell, as `peepholes=("f",)`; a layer or cell has its
            own.

    Returns:
        Text, Markdown, JSON, or a dict with the keys `name`, `cell`, `summary`, `equations` (list
        of LaTeX lines), `reference`, `notes` (choices and deviations, from the docstring),
        `gates`, `states` (name -> shape), `weights` (name -> shape, count, and the gates in the
        order of its columns; for peepholes, of its rows), `parameters`, `formula`, `options`
        (arguments that are not the defaults), `features` (also as `input_dim`), `units` and
        `lstm_parameters`.

    Raises:
        ValueError: the variant is unknown or not a cell, or an argument is out of its range or
            contradicts the layer that is described.

    Example:
        >>> import keras_lstm_variants as klv
        >>> klv.describe("PeepholeLSTM", features=80, units=12, format="dict")["parameters"]
        4500
        >>> layer = klv.GRU(3)
        >>> layer.build((None, None, 2))
        >>> klv.describe(layer, format="dict")["weights"]["kernel"]
        {'shape': [2, 9], 'count': 18, 'columns': ['z', 'r', 'g']}
    """
    checks.one_of("format", format, ("text", "markdown", "json", "dict"))
    _, facts = cell_and_facts(variant, features, units, options, with_values=False)
    if format == "dict":
        return facts
    if format == "json":
        return json.dumps(facts, indent=1) + "\n"
    return as_markdown(facts) if format == "markdown" else as_text(facts)


def parameters(variant: str | type, features: int, units: int) -> int:
    """The number of a cell's weights, without making any of them."""
    return describe(variant, features, units, format="dict")["parameters"]


def cell_and_facts(
    variant: Any,
    features: int | None,
    units: int | None,
    options: dict[str, Any],
    *,
    with_values: bool,
) -> tuple[Any, dict[str, Any]]:
    """A built cell like the one that is meant, and what `describe(format="dict")` says of it.

    Args:
        variant, features, units, options: as for `describe`.
        with_values: whether the weights of the cell have values, or shapes only.
    """
    seeds = random.getstate()  # from which Keras takes those of new cells
    try:
        subject = _subject(variant, features, units, options)
        cell = subject.make()
        if with_values:
            subject.build(cell)
        else:
            try:
                _without_values(lambda: subject.build(cell))
            except Exception:  # somebody's cell whose `build` needs values
                cell = subject.make()
                subject.build(cell)
    finally:
        random.setstate(seeds)
    return cell, _facts(subject, cell)


def _without_values(build: Callable[[], None]) -> None:
    """Build a cell whose weights have shapes only: a million units would fill any memory."""

    def run() -> None:
        # Keras would give them values when a later scope ends; it knows them in this thread only.
        with keras.StatelessScope(initialize_variables=False):
            build()

    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        thread.submit(run).result()


@dataclass(frozen=True)
class _Subject:
    """What is described: how to make and build a cell like it, and its sizes and arguments."""

    name: str
    cell_class: type
    make: Callable[[], Any]  # a new cell, not built
    build: Callable[[Any], None]
    features: int
    units: int
    options: dict[str, Any]


def _subject(
    variant: Any, features: int | None, units: int | None, options: dict[str, Any]
) -> _Subject:
    options = dict(options)
    if "input_dim" in options:
        also = options.pop("input_dim")
        if features is not None:
            raise ValueError(
                "`features` and `input_dim` are the same argument: give one of them. "
                f"Received: features={features!r}, input_dim={also!r}"
            )
        features = _size("input_dim", also)
    features = features if features is None else _size("features", features)
    units = units if units is None else _size("units", units)
    if isinstance(variant, keras.layers.Layer):
        return _of_instance(variant, features, units, options)
    return _of_class(variant, features or 80, units or 12, options)


def _size(name: str, value: Any) -> int:
    if checks.positive_integer(name, value) > checks.MOST_UNITS:
        raise ValueError(
            f"`{name}` must be at most {checks.MOST_UNITS:,}. Received: {name}={value}"
        )
    return int(value)


def _of_class(variant: Any, features: int, units: int, options: dict[str, Any]) -> _Subject:
    layer = get_variant(variant) if isinstance(variant, str) else variant
    cell_class = getattr(layer, "cell_class", layer)
    if not isinstance(layer, type) or not hasattr(cell_class, "call"):
        raise ValueError(
            "`variant` must be the name of a variant, its layer class, a cell class, or a layer "
            f"or cell. Received: variant={variant!r}"
        )

    def make() -> Any:
        try:
            cell = cell_class(units, **options)
        except TypeError as error:
            raise ValueError(
                f"{cell_class.__name__} cannot be made of `units` and {options}: {error}"
            ) from error
        if not is_cell(cell):
            raise ValueError(f"{cell_class.__name__} is no cell: it has no `state_size` of a step.")
        return cell

    def build(cell: Any) -> None:
        cell.build((None, features))

    return _Subject(layer.__name__, cell_class, make, build, features, units, options)


def _of_instance(
    layer: keras.layers.Layer, features: int | None, units: int | None, options: dict[str, Any]
) -> _Subject:
    name, own = type(layer).__name__, getattr(layer, "cell", layer)
    if options:
        raise ValueError(f"{name} has its arguments already. Received: {options}")
    if not is_cell(own) or isinstance(own, keras.layers.StackedRNNCells):
        raise ValueError(
            "`variant` must be a recurrent layer or a cell; of a stack, one of its cells. "
            f"Received: variant={layer!r}"
        )
    sizes = keras.tree.flatten(own.state_size)
    own_units = getattr(own, "units", sizes[0])
    config, build_config, built_for = own.get_config(), None, None
    if own.built:
        build_config = own.get_build_config()
        built_for = build_config.get("shapes_dict", build_config)["input_shape"][-1]
    for argument, given, actual in (("features", features, built_for), ("units", units, own_units)):
        if given is not None and actual is not None and given != actual:
            raise ValueError(
                f"`{argument}` of {layer.name} is {actual}. Received: {argument}={given}"
            )
    features = built_for or features or 80

    def make() -> Any:
        cell = type(own).from_config(config)
        cell.trainable = True  # a frozen layer has as many weights
        return cell

    def build(cell: Any) -> None:
        if build_config is None:
            cell.build((None, features))
        else:
            cell.build_from_config(build_config)

    return _Subject(name, type(own), make, build, features, own_units, _unusual(own, config))


def _unusual(cell: Any, config: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a cell that are not the defaults."""
    try:
        usual = type(cell)(cell.units, name=cell.name).get_config()
    except Exception:  # a cell that needs further arguments
        usual = {}
    same = {"name", "units", "dtype", "trainable", "seed"}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in config.items()
        if name not in same and (name not in usual or usual[name] != value)
    }


def _facts(subject: _Subject, cell: Any) -> dict[str, Any]:
    features, units = subject.features, subject.units
    # Not what the class inherits: that would show the parent's equations.
    own = vars(subject.cell_class)
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(own.get("__doc__") or ""))
    equations = [
        re.sub(r"\s+", " ", line)
        for p in paragraphs
        for line in re.findall(r"\$\$(.*?)\$\$", p, re.DOTALL)
    ]
    joined = [" ".join(p.split()) for p in paragraphs]
    formula = re.search(r"Weights: (.*?)(?:\.|$)", "\n".join(joined))
    return {
        "name": subject.name,
        "cell": subject.cell_class.__name__,
        "summary": joined[0] if joined else "",
        "equations": equations,
        "reference": own.get("reference", ""),
        "notes": [
            p
            for p in joined[1:]
            if not re.match(r"\$\$|Reference|Arguments|Weights|Args|Raises|Example", p)
        ]
        + list(getattr(cell, "notes", list)()),
        "gates": list(getattr(cell, "gates", ())),
        "states": {
            name: ["batch", *shape]
            for name, shape in zip(state_names(cell), _state_shapes(cell), strict=True)
        },
        "weights": {
            name: {
                "shape": list(w.shape),
                "count": math.prod(w.shape),
                "columns": _columns(cell, name),
            }
            for name, w in weights_of(cell)
        },
        "parameters": sum(math.prod(w.shape) for w in cell.trainable_weights),
        "formula": formula.group(1) if formula else "",
        "options": {name: repr(value) for name, value in subject.options.items()},
        "features": features,
        "input_dim": features,
        "units": units,
        "lstm_parameters": 4 * units * (features + units + 1),
    }


def weights_of(cell: Any) -> list[tuple[str, Any]]:
    """Weights by their names; with the path below the cell where a name is not unique."""
    weights = cell.trainable_weights
    names = [w.name for w in weights]
    return [
        (w.name if names.count(w.name) == 1 else w.path.removeprefix(f"{cell.path}/"), w)
        for w in weights
    ]


def _columns(cell: Any, weight: str) -> list[str]:
    """Gates in the order of a weight's columns; of a peephole weight, of its rows."""
    return list(cell.columns_of(weight)) if hasattr(cell, "columns_of") else []


def _state_shapes(cell: Any) -> list[list[int]]:
    """The shape of each state, without the batch."""
    sizes = [cell.state_size] if isinstance(cell.state_size, int) else list(cell.state_size)
    return [[size] if isinstance(size, int) else list(size) for size in sizes]
