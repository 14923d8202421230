"""Docstrings of named layers, made from those of their cells."""

import inspect
import re
from collections.abc import Iterable

_SECTION = re.compile(r"^(Args|Raises|Returns|Example|Call arguments):")
_ENTRY = re.compile(r"^ {4}(\*{0,2}\w+(?:, \*{0,2}\w+)*): (.*)")
_KWARGS = "`name`, `dtype`, `trainable`."


def sections(doc: str) -> dict[str, list[str]]:
    """The lines of a docstring by section; those before the first section under ""."""
    found: dict[str, list[str]] = {"": []}
    name = ""
    for line in inspect.cleandoc(doc).splitlines():
        start = _SECTION.match(line)
        if start:
            name = start[1]
            found[name] = [line[start.end() :].strip()]
        else:
            found[name].append(line)
    return found


def entries(lines: Iterable[str]) -> dict[str, str]:
    """What a section "Args" says of each name, as the lines that follow the name."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in lines:
        entry = _ENTRY.match(line)
        if entry:
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, entry[2])
        elif names and line.startswith(" " * 8):
            found |= {name: f"{found[name]}\n{line}" for name in names}
        elif line.strip():
            names = []  # of an entry that says where to look, as "units, ...: see `Cell`"
    return found


def described(cls: type) -> dict[str, str]:
    """What the docstrings of a class and its parents say of constructor arguments."""
    found: dict[str, str] = {}
    for klass in reversed(cls.__mro__):
        own = entries(sections(vars(klass).get("__doc__") or "").get("Args", []))
        found |= {name: text for name, text in own.items() if not text.startswith("see `")}
    return found


def layer_doc(layer: type, doc: str) -> str:
    """The docstring of a named layer: its own first lines and example, and all arguments.

    Args:
        layer: the class, whose `cell_class` and signature are set.
        doc: what it says itself; or the docstring of the cell.
    """
    own = sections(doc)
    texts = described(layer.cell_class) | described(layer.__mro__[1].__mro__[1])
    texts |= {name: text for name, text in described(layer).items() if name != "units"}
    names = [name for name in layer.__signature__.parameters if name != "kwargs"]
    arguments = [f"    {name}: {texts[name]}" for name in names if name in texts]
    head = "\n".join(own[""]).strip()
    # A cell's example shows the cell.
    written_out = "made_by_register" not in vars(layer) and "Example" in own
    example = "\n".join(own["Example"][1:]).rstrip() if written_out else _example(layer)
    return "\n".join(
        [
            head,
            "",
            "Args:",
            *arguments,
            f"    **kwargs: {_KWARGS}",
            "",
            "Call arguments: see `RecurrentLayer`.",
            "",
            "Raises:",
            "    ValueError: an argument is unknown or out of its range.",
            "",
            "Example:",
            example,
            "",
        ]
    )


def _example(layer: type) -> str:
    ours = layer.__module__.startswith(__package__.split(".")[0] + ".")
    name = f"klv.{layer.__name__}" if ours else f'klv.get_variant("{layer.__name__}")'
    return "\n".join(
        [
            "    >>> import keras, keras_lstm_variants as klv",
            f"    >>> layer = {name}(4, return_sequences=True)",
            "    >>> layer(keras.ops.ones((2, 5, 3))).shape",
            "    TensorShape([2, 5, 4])",
        ]
    )
