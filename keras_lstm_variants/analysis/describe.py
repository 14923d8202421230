"""What a cell is: its equations, reference, states and every weight, with numbers."""

import concurrent.futures
import inspect
import math
import re
import textwrap
from typing import Any

import keras

from keras_lstm_variants import _checks
from keras_lstm_variants.cell import Cell
from keras_lstm_variants.registry import get_variant

# LaTeX of the docstrings, as a terminal shows it.
_PLAIN = [
    (r"\\text\{(.*?)\}", r"\1"),
    (r"\s*\\q?quad\s*(?=\()", "   "),
    (r"\s*\\q?quad\s*", ";   "),
    (r"\\odot", "*"),
    (r"\\leftarrow", "<-"),
    (r"\\dots", "..."),
    (r"\\ge\b", ">="),
    (r"\\top", "T"),
    (r"\\cdot", "."),
    (r"\\sqrt\{(\w+)\}", r"sqrt(\1)"),
    (r"\\(sigma|tanh|log|alpha|beta|sum)", r"\1"),
    (r"_\{t-1\}", "[t-1]"),
    (r"_t\b", "[t]"),
    (r"_\{(\w+)\}", r"_\1"),
    (r"_\{(\w+-\w+)\}", r"_(\1)"),
    (r"[{}$]", ""),
]


def describe(
    variant: str | type,
    input_dim: int = 80,
    units: int = 12,
    *,
    format: str = "text",
    **options: Any,
) -> str | dict[str, Any]:
    """Equations, reference, states and weights of a cell, beside the number of an LSTM's weights.

    Args:
        variant: name of a registered variant, its layer class, or any cell class of ours or
            yours.
        input_dim: number of input features, at most 1,000,000.
        units: number of units, at most 1,000,000.
        format: `"text"`, `"markdown"` or `"dict"`.
        **options: further arguments of the cell, as `peepholes=("f",)`.

    Returns:
        Text, Markdown, or a dict with the keys `name`, `cell`, `summary`, `equations` (list of
        LaTeX lines), `reference`, `notes` (what the docstring says of choices and deviations),
        `gates`, `states` (name -> shape), `weights` (name -> shape, count, and the gates in
        the order of its columns; of the rows for peepholes), `parameters`, `formula`,
        `options`, `input_dim`, `units` and `lstm_parameters`.

    Raises:
        ValueError: the variant is unknown or no class of a cell, or an argument is out of its
            range.

    Example:
        >>> import keras_lstm_variants as klv
        >>> klv.describe("PeepholeLSTM", input_dim=80, units=12, format="dict")["parameters"]
        4500
    """
    for name, size in (("input_dim", input_dim), ("units", units)):
        if _checks.positive_integer(name, size) > _checks.MOST_UNITS:
            raise ValueError(
                f"`{name}` must be at most {_checks.MOST_UNITS:,}. Received: {name}={size}"
            )
    _checks.one_of("format", format, ("text", "markdown", "dict"))
    layer, cell_class, cell = _made(variant, units, options)
    try:
        _build_without_values(cell, input_dim)
    except Exception:  # a cell of somebody's whose `build` asks for values
        _, _, cell = _made(variant, units, options)
        cell.build((None, input_dim))
    found = _facts(layer, cell_class, cell, input_dim, units, options)
    if format == "dict":
        return found
    return _markdown(found) if format == "markdown" else _text(found)


def parameters(variant: str | type, input_dim: int, units: int) -> int:
    """The number of a cell's weights, none of which is made."""
    return describe(variant, input_dim, units, format="dict")["parameters"]


def _build_without_values(cell: Any, inputs: int) -> None:
    """Build a cell whose weights have shapes only: a million units would fill any memory."""

    def build() -> None:
        # Keras would give them values when a later scope ends; it knows them in this thread only.
        with keras.StatelessScope(initialize_variables=False):
            cell.build((None, inputs))

    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        thread.submit(build).result()


def facts(
    variant: Any, inputs: int, units: int, options: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """A built cell, and what `describe(format="dict")` says of it."""
    layer, cell_class, cell = _made(variant, units, options)
    cell.build((None, inputs))
    return cell, _facts(layer, cell_class, cell, inputs, units, options)


def facts_of_layer(layer: Any, inputs: int) -> tuple[Any, dict[str, Any]]:
    """The same of a copy of the cell of a layer, or of a cell; `inputs` where it is not built."""
    inner = getattr(layer, "cell", layer)
    if not isinstance(inner, Cell):
        raise ValueError(
            "`variant` must be a layer or cell of keras_lstm_variants; of a stack, one of its "
            f"cells. Received: variant={layer!r}"
        )
    cell = type(inner).from_config(inner.get_config())
    if inner.built:
        config = inner.get_build_config()
        inputs = config.get("shapes_dict", config)["input_shape"][-1]
        cell.build_from_config(config)
    else:
        cell.build((None, inputs))
    found = _facts(type(layer), type(inner), cell, inputs, inner.units, {})
    return cell, found | {"formula": ""}  # it is that of the default arguments


def _made(variant: Any, units: int, options: dict[str, Any]) -> tuple[type, type, Any]:
    """The class that is meant, its cell's class, and a cell."""
    layer = get_variant(variant) if isinstance(variant, str) else variant
    cell_class = getattr(layer, "cell_class", layer)
    if not isinstance(layer, type) or not hasattr(cell_class, "call"):
        raise ValueError(
            "`variant` must be the name of a variant, its layer class or a cell class. "
            f"Received: variant={variant!r}"
        )
    try:
        cell = cell_class(units, **options)
    except TypeError as error:
        raise ValueError(
            f"{cell_class.__name__} cannot be made of `units` and {options}: {error}"
        ) from error
    if not hasattr(cell, "state_size") or isinstance(cell, keras.layers.RNN):
        raise ValueError(f"{cell_class.__name__} is no cell: it has no `state_size` of a step.")
    return layer, cell_class, cell


def _facts(
    layer: type, cell_class: type, cell: Any, inputs: int, units: int, options: dict[str, Any]
) -> dict[str, Any]:
    # Its own docstring: an inherited one would show the parent's equations.
    own = vars(cell_class)
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(own.get("__doc__") or ""))
    equations = [
        re.sub(r"\s+", " ", line)
        for p in paragraphs
        for line in re.findall(r"\$\$(.*?)\$\$", p, re.DOTALL)
    ]
    joined = [" ".join(p.split()) for p in paragraphs]
    formula = re.search(r"Weights: (.*?)(?:\.|$)", "\n".join(joined))
    lstm = 4 * units * (inputs + units + 1)
    return {
        "name": getattr(layer, "__name__", str(layer)),
        "cell": cell_class.__name__,
        "summary": joined[0] if joined else "",
        "equations": equations,
        "reference": own.get("reference", ""),
        "notes": [
            p
            for p in joined[1:]
            if not re.match(r"\$\$|Reference|Arguments|Weights|Args|Raises|Example", p)
        ]
        + list(getattr(cell, "remarks", list)()),
        "gates": list(getattr(cell, "gates", ())),
        "states": {
            name: ["batch", size] for name, size in zip(_names(cell), _sizes(cell), strict=True)
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
        "options": {name: repr(value) for name, value in options.items()},
        "input_dim": inputs,
        "units": units,
        "lstm_parameters": lstm,
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


def _sizes(cell: Any) -> list[int]:
    return [cell.state_size] if isinstance(cell.state_size, int) else list(cell.state_size)


def _names(cell: Any) -> list[str]:
    names = getattr(cell, "state_names", None)
    return list(names) if names else [f"state {k}" for k in range(len(_sizes(cell)))]


def plain(text: str) -> str:
    for pattern, plain in _PLAIN:
        text = re.sub(pattern, plain, text)
    return text.strip()


def _total(found: dict[str, Any]) -> str:
    share = found["parameters"] / found["lstm_parameters"]
    text = f"{found['parameters']:,}"
    if found["formula"]:
        # Options as `use_bias` change the number, and the formula is that of the defaults.
        text += " (by default " if found["options"] else " = "
        text += found["formula"] + (")" if found["options"] else "")
    return f"{text}; an LSTM of this size has {found['lstm_parameters']:,} ({share:.2f} times)"


def _text(found: dict[str, Any]) -> str:
    lines = [f"{found['name']} ({found['cell']})", plain(found["summary"]), ""]
    lines += [f"    {plain(line)}" for line in found["equations"]]
    lines += [""] + [textwrap.fill(plain(note), 88) for note in found["notes"]]
    lines += [f"Reference: {found['reference'] or '-'}", ""]
    lines += [f"{found['input_dim']} inputs, {found['units']} units"]
    for name, shape in found["states"].items():
        lines.append(f"  state  {name:<18} (batch, {shape[1]})")
    for name, weight in found["weights"].items():
        line = f"  weight {name:<18} {tuple(weight['shape'])!s:<14} {weight['count']:>10,}"
        lines.append(f"{line}   {' '.join(weight['columns'])}".rstrip())
    lines.append(f"  total: {_total(found).replace('`', '')}")
    return "\n".join(lines) + "\n"


def _markdown(found: dict[str, Any]) -> str:
    lines = [f"## {found['name']}", "", found["summary"], ""]
    for line in found["equations"]:
        lines += [f"$${line}$$", ""]
    for note in found["notes"]:
        lines += [note, ""]
    lines += [f"Reference: {found['reference'] or '-'}", ""]
    lines += [f"With {found['input_dim']} inputs and {found['units']} units:", ""]
    lines += ["| | shape | count | columns |", "|---|---|---|---|"]
    lines += [f"| state `{n}` | (batch, {s[1]}) | | |" for n, s in found["states"].items()]
    lines += [
        f"| weight `{n}` | {tuple(w['shape'])} | {w['count']:,} | {' '.join(w['columns'])} |"
        for n, w in found["weights"].items()
    ]
    lines += ["", f"Total: {_total(found)}."]
    return "\n".join(lines) + "\n"
