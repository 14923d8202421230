"""Writes `keras_lstm_variants/__init__.pyi`, from which editors complete and check arguments.

Cells and layers take their arguments from their parents, or from their cells, which a type
checker does not see. Run `python tests/make_stubs.py` where a signature has changed.
"""

import inspect
from pathlib import Path

import keras

import keras_lstm_variants as klv

PATH = Path(klv.__file__).with_suffix(".pyi")
HEAD = '''"""Made by tests/make_stubs.py: the public names, with all their arguments."""

from typing import Any

import keras

'''


def annotated(parameter):
    """One parameter with its type and default; what has no type of its own takes anything."""
    kind, default = parameter.annotation, parameter.default
    if isinstance(kind, type) and kind is not parameter.empty:
        kind = kind.__name__
    kind = "Any" if kind is parameter.empty else str(kind).replace("typing.", "")
    if default is parameter.empty:
        return f"{parameter.name}: {kind}"
    default = f'"{default}"' if isinstance(default, str) else repr(default).replace("'", '"')
    return f"{parameter.name}: {kind} = {default}"


def constructor(cls):
    lines, starred = [], False
    for parameter in cls.__signature__.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            # What these stand for, so that a misspelt name is seen.
            if issubclass(cls, keras.Model):
                lines.append(f"**{parameter.name}: Any")
            else:
                lines += ["name: str | None = None", "dtype: Any = None", "trainable: bool = True"]
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            lines.append("*")
            starred = True
        lines.append(annotated(parameter))
    arguments = "".join(f"        {line},\n" for line in ["self", *lines])
    return f"    def __init__(\n{arguments}    ) -> None: ...\n"


def base_of(cls, known):
    """The nearest parent with a public name."""
    return next((b.__name__ for b in cls.__mro__[1:] if b.__name__ in known), "keras.layers.Layer")


def in_import_order(name):
    """Constants, classes and functions, as ruff sorts them."""
    return (not name.isupper(), not name[0].isupper(), name.lower())


def stub():
    classes = {
        name: value
        for name, value in vars(klv).items()
        if name in klv.__all__
        and inspect.isclass(value)
        and hasattr(value, "__signature__")
        and value.__module__.split(".")[1] in ("cells", "generative")
    }
    public = [name for name in klv.__all__ if name not in classes]
    text = HEAD + "from keras_lstm_variants import tuning as tuning\n"
    for name in sorted(public, key=in_import_order):
        text += f"from keras_lstm_variants._public import {name} as {name}\n"
    known = {*public, *classes}
    order = sorted(classes, key=lambda n: (len(classes[n].__mro__), n))
    for name in order:
        cls = classes[name]
        if cls.__name__ != name:  # another name of a class
            text += f"\n{name} = {cls.__name__}\n"
            continue
        text += f"\nclass {name}({base_of(cls, known)}):\n"
        if issubclass(cls, klv.CellLayer):
            text += f"    cell_class: type[{cls.cell_class.__name__}]\n"
        text += constructor(cls)
    return text


if __name__ == "__main__":
    PATH.write_text(stub(), encoding="utf-8")
