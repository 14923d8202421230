"""Parameters of recurrent layers for build functions of one's own."""

import contextlib
import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import keras_tuner

from keras_lstm_variants.core import checks
from keras_lstm_variants.core.initializers import check_max_timesteps
from keras_lstm_variants.core.registry import find_variant, get_variant, list_variants
from keras_lstm_variants.tuning.options import BOUNDS
from keras_lstm_variants.tuning.ranges import Space, space_of

# Arguments of layers that would make a stack something else.
_DECIDED = ("return_state", "return_all_states", "go_backwards", "initial_state")


class Variant(str):
    """The name of a variant that a search chose: a plain string that knows its alternatives.

    Attributes:
        parameter: name of the parameter.
        choices: what the parameter may be.
    """

    parameter: str
    choices: tuple[str, ...]


def hp_variant(hp: Any, variants: Sequence[str] | None = None, *, name: str = "variant") -> Variant:
    """A variant, chosen by the search among registered ones.

    Args:
        hp: the `keras_tuner.HyperParameters` of a build function.
        variants: their names, in any case; None for all of `klv.list_variants()`.
        name: name of the parameter.

    Returns:
        The name, as `klv.get_variant` takes it. Given to `hp_forget_bias` or
        `hp_recurrent_stack`, it makes their parameters exist only where they mean something.

    Raises:
        ValueError: a name that is not registered, or none at all.

    Example:
        >>> import keras_tuner, keras_lstm_variants as klv
        >>> hp = keras_tuner.HyperParameters()
        >>> variant = klv.tuning.hp_variant(hp, ["LSTM", "GRU", "Elman"])
        >>> klv.get_variant(variant)(8).units
        8
    """
    check_hp(hp, name)
    names = check_variants("variants", variants)
    chosen = hp.Fixed(name, names[0]) if len(names) == 1 else hp.Choice(name, list(names))
    variant = Variant(chosen if chosen is not None else names[0])
    variant.parameter, variant.choices = name, names
    return variant


def check_hp(hp: Any, name: Any, empty: bool = False) -> None:
    """A `ValueError` unless these can declare parameters."""
    if not isinstance(hp, keras_tuner.HyperParameters):
        raise ValueError(
            f"`hp` must be the keras_tuner.HyperParameters of a build function. Received: hp={hp!r}"
        )
    if not isinstance(name, str) or not (name or empty):
        raise ValueError(f"`name` must be a string. Received: name={name!r}")


def check_variants(argument: str, variants: Sequence[str] | None) -> tuple[str, ...]:
    """Names of registered variants, each once."""
    given = [variants] if isinstance(variants, str) else variants
    if given is not None and (
        not isinstance(given, Iterable) or not all(isinstance(name, str) for name in given)
    ):
        raise ValueError(
            f"`{argument}` must be names of variants or None. Received: {argument}={variants!r}"
        )
    names = list_variants() if given is None else list(given)
    if not names:
        raise ValueError(f"`{argument}` names no variant. Received: {argument}={variants!r}")
    return tuple(dict.fromkeys(find_variant(name) for name in names))


def layer_class_of(cell: Any) -> type:
    """The layer or cell class that is meant by a name, a class or an instance of it."""
    if isinstance(cell, str):
        return get_variant(cell)
    if isinstance(cell, keras.layers.Layer):
        return type(cell)
    if isinstance(cell, type) and issubclass(cell, keras.layers.Layer):
        return cell
    raise ValueError(
        "`cell` must be the name of a variant, a cell or layer class, or what `hp_variant` "
        f"returns. Received: cell={cell!r}"
    )


def keeps_memory(cell: Any) -> bool:
    """Whether it has a gate that keeps memory, whose bias is the forget bias."""
    layer = layer_class_of(cell)
    return bool(getattr(getattr(layer, "cell_class", None) or layer, "forget_gate", None))


def takes(argument: str) -> Callable[[Any], bool]:
    """A test of whether a variant has this argument."""
    return lambda cell: argument in inspect.signature(layer_class_of(cell)).parameters


@contextlib.contextmanager
def only_where(hp: Any, cell: Any, test: Callable[[Any], bool]) -> Any:
    """A condition on the variant, where the search chooses it and not all pass the test.

    Yields whether the parameters within exist for any variant at all.
    """
    choices = getattr(cell, "choices", (cell,))
    passing = [c for c in choices if test(c)]
    if not passing or len(passing) == len(choices):
        yield bool(passing)
    else:
        with hp.conditional_scope(cell.parameter, passing):
            yield True


def usual_forget_bias(max_timesteps: float | None) -> Any:
    """What is searched by default: numbers up to the length of the memory that is needed."""
    if max_timesteps is None:
        return (-1.0, 5.0)
    # sigmoid(log T) keeps memory for about T steps.
    return [(-1.0, max(3.0, round(math.log(max_timesteps - 1), 1) + 1)), "chrono"]


def split_forget_bias(values: Any, max_timesteps: float | None) -> tuple[Space | None, list[str]]:
    """The numbers, and the words `"chrono"` and `"default"`, that a forget bias may be."""
    if max_timesteps is not None:
        check_max_timesteps(max_timesteps)
    if values is None:
        values = usual_forget_bias(max_timesteps)
    parts = values if isinstance(values, list) else [values]
    words = [v for v in parts if isinstance(v, str)]
    for word in words:
        if word not in ("chrono", "default"):
            hint = checks.nearest(word, ["chrono", "default"])
            raise ValueError(
                "`forget_bias` must be of numbers, a range (low, high), 'chrono' and 'default'. "
                f"Received: forget_bias={values!r}{hint}"
            )
    if "chrono" in words and max_timesteps is None:
        raise ValueError(
            "`forget_bias='chrono'` needs `max_timesteps`, the longest dependency in steps. "
            f"Received: forget_bias={values!r}, max_timesteps=None"
        )
    rest = [v for v in parts if not isinstance(v, str)]
    if not rest and words:
        return None, list(dict.fromkeys(words))
    ranges = [v for v in rest if isinstance(v, tuple)]
    if len(ranges) > 1 or (ranges and len(rest) > 1):
        raise ValueError(
            "`forget_bias` may have one range or a list of numbers, not both. "
            f"Received: forget_bias={values!r}"
        )
    given = ranges[0] if ranges else rest
    return space_of("forget_bias", given, float, **BOUNDS["forget_bias"]), words


def hp_forget_bias(
    hp: Any,
    cell: Any,
    values: Any = None,
    *,
    max_timesteps: float | None = None,
    name: str = "forget_bias",
) -> dict[str, Any]:
    """Where a cell's memory starts, chosen by the search.

    Args:
        hp: the `keras_tuner.HyperParameters` of a build function.
        cell: what the bias is for: the name of a variant, a cell or layer class, or what
            `hp_variant` returned; then the parameter exists only in trials of variants that
            have a gate that keeps memory.
        values: a number (the bias towards keeping: sigmoid of it is what is left of the
            memory after a step), a range `(low, high)`, `"chrono"`, `"default"` (the
            variant's own), or a list of these. None: a range from -1 to what a memory of
            `max_timesteps` needs, and chrono; without `max_timesteps` from -1 to 5.
        max_timesteps: the longest dependency in steps, for chrono.
        name: name of the parameter. Where both numbers and words are allowed, the
            parameter `NAME_rule` says which, and `NAME` is the number.

    Returns:
        Keyword arguments for the cell or layer; none for a cell without such a gate.

    Raises:
        ValueError: an empty range or list, an unknown word, chrono without `max_timesteps`.

    Example:
        >>> import keras_tuner, keras_lstm_variants as klv
        >>> hp = keras_tuner.HyperParameters()
        >>> klv.tuning.hp_forget_bias(hp, "LSTM", (0.0, 4.0))
        {'forget_bias': 0.0}
        >>> klv.tuning.hp_forget_bias(hp, "Elman")
        {}
    """
    check_hp(hp, name)
    numbers_, words = split_forget_bias(values, max_timesteps)
    with only_where(hp, cell, keeps_memory) as exists:
        if not exists:
            return {}
        rule = "number"
        if words:
            rules = (["number"] if numbers_ else []) + words
            key = f"{name}_rule"
            rule = hp.Fixed(key, rules[0]) if len(rules) == 1 else hp.Choice(key, rules)
        value = None
        if numbers_ is not None:
            scope = hp.conditional_scope(f"{name}_rule", ["number"]) if words else None
            with scope or contextlib.nullcontext():
                value = numbers_.declare(hp, name)
    if rule == "chrono":
        return {"forget_bias": "chrono", "max_timesteps": max_timesteps}
    return {"forget_bias": value} if rule == "number" and value is not None else {}


def hp_recurrent_stack(
    hp: Any,
    variant: Any,
    *,
    layers: Any = (1, 3),
    units: Any = (16, 128),
    units_per_layer: bool = False,
    bidirectional: Any = False,
    forget_bias: Any = None,
    max_timesteps: float | None = None,
    dropout: Any = 0.0,
    recurrent_dropout: Any = 0.0,
    return_sequences: bool = False,
    name: str = "",
    **kwargs: Any,
) -> list[keras.layers.Layer]:
    """A stack of recurrent layers, its size and options chosen by the search.

    All layers but the last return sequences; the last one if `return_sequences`.

    Args:
        hp: the `keras_tuner.HyperParameters` of a build function.
        variant: the name of a variant, a layer class, or what `hp_variant` returned.
        layers, units: positive integers: a value, a list, or a range `(low, high)` or
            `(low, high, step)`. A range of units without a step is searched by order of
            magnitude.
        units_per_layer: a number of units for each layer (`units_0`, `units_1`, ...)
            instead of one for all (`units`). That of a layer exists where the layer does.
        bidirectional: False, True or `[False, True]`; each direction has `units`.
        forget_bias, max_timesteps: see `hp_forget_bias`.
        dropout, recurrent_dropout: rates in [0, 1), likewise a value, a list or a range.
        return_sequences: whether the last layer returns the output of every step.
        name: put before all names of parameters and layers, so that a model may have
            several stacks: two stacks of one name share their parameters.
        **kwargs: for every layer, as `engine="xla"`.

    Returns:
        The layers, to be called one after the other.

    Raises:
        ValueError: an argument is out of its range, or an empty range; no variant has the
            argument that a rate above 0 is for.

    Example:
        >>> import keras, keras_tuner, keras_lstm_variants as klv
        >>> hp = keras_tuner.HyperParameters()
        >>> variant = klv.tuning.hp_variant(hp, ["PeepholeLSTM", "GRU"])
        >>> stack = klv.tuning.hp_recurrent_stack(hp, variant, layers=[2], units=[8, 16])
        >>> model = keras.Sequential([keras.Input((None, 3)), *stack, keras.layers.Dense(1)])
        >>> model.output_shape, sorted(hp.values)
        ((None, 1), ['dropout', 'forget_bias', 'layers', 'recurrent_dropout', 'units', 'variant'])
    """
    check_hp(hp, name, empty=True)
    units_per_layer = checks.flag("units_per_layer", units_per_layer)
    return_sequences = checks.flag("return_sequences", return_sequences)
    spaces = stack_spaces(layers, units, bidirectional, dropout, recurrent_dropout)
    for argument in _DECIDED:
        if argument in kwargs:
            raise ValueError(
                f"`{argument}` is decided by the stack and cannot be given for every layer. "
                f"Received: {argument}={kwargs[argument]!r}"
            )
    layer_class = layer_class_of(variant)
    count = spaces["layers"].declare(hp, f"{name}layers")
    both_ways = False
    if not spaces["bidirectional"].fixed:
        both_ways = spaces["bidirectional"].declare(hp, f"{name}bidirectional")
    elif spaces["bidirectional"].choices[0]:
        both_ways = True
    options = hp_forget_bias(
        hp, variant, forget_bias, max_timesteps=max_timesteps, name=f"{name}forget_bias"
    )
    for rate in ("dropout", "recurrent_dropout"):
        with only_where(hp, variant, takes(rate)) as exists:
            if exists:
                value = spaces[rate].declare(hp, f"{name}{rate}")
                if value is not None:
                    options[rate] = value
            elif spaces[rate].largest > 0:
                raise ValueError(
                    f"No variant here has the argument `{rate}`, so it must be 0. "
                    f"Received: {rate}={spaces[rate].choices or spaces[rate].high!r}"
                )
    sizes = _sizes(hp, spaces, count, units_per_layer, name)
    stack: list[keras.layers.Layer] = []
    for k, size in enumerate(sizes):
        label = f"{name}recurrent_{k}"
        sequences = return_sequences or k < count - 1
        arguments = {"return_sequences": sequences, **options, **kwargs}
        if both_ways:
            layer = keras.layers.Bidirectional(_made(layer_class, size, arguments), name=label)
            layer.supports_masking = True  # False in Keras 3.16: the layer behind saw no mask
        else:
            layer = _made(layer_class, size, {"name": label, **arguments})
        stack.append(layer)
    return stack


def _made(layer_class: type, units: int, options: dict[str, Any]) -> keras.layers.Layer:
    try:
        return layer_class(units, **options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{layer_class.__name__}({units}, ...): {error}") from error


def stack_spaces(
    layers: Any, units: Any, bidirectional: Any, dropout: Any, recurrent_dropout: Any
) -> dict[str, Space]:
    """The spaces of a stack, checked."""
    return {
        "layers": space_of("layers", layers, int, **BOUNDS["layers"]),
        "units": space_of("units", units, int, **BOUNDS["units"], log=True),
        "bidirectional": space_of("bidirectional", bidirectional, bool),
        "dropout": space_of("dropout", dropout, float, **BOUNDS["dropout"]),
        "recurrent_dropout": space_of(
            "recurrent_dropout", recurrent_dropout, float, **BOUNDS["recurrent_dropout"]
        ),
    }


def _sizes(
    hp: Any, spaces: dict[str, Space], count: int, units_per_layer: bool, name: str
) -> list[int]:
    """Units of each layer of this trial."""
    if not units_per_layer:
        return [spaces["units"].declare(hp, f"{name}units")] * count
    most, least = spaces["layers"].largest, spaces["layers"].smallest
    sizes = []
    for k in range(most):
        deeper = list(range(k + 1, most + 1))
        scope = hp.conditional_scope(f"{name}layers", deeper) if k >= least else None
        with scope or contextlib.nullcontext():
            sizes.append(spaces["units"].declare(hp, f"{name}units_{k}"))
    return sizes[:count]
