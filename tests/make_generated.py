"""Writes what is made from the classes: run it when a cell is new, or a signature has changed.

    python tests/make_generated.py             # writes what is out of date
    python tests/make_generated.py --check     # only names it, and exits with 1

It makes
- the stubs `__init__.pyi` and `cells/__init__.pyi`, from which editors complete and check
  arguments. Cells and layers take these from their parents, or from their cells, which a type
  checker does not see.
- `core/variant_names.py`, the variants that are known without TensorFlow.
- the table of cells in README.
"""

import argparse
import inspect
import json
import sys
from pathlib import Path

import keras

import keras_lstm_variants as klv
from keras_lstm_variants import cells

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "keras_lstm_variants"
BEGIN, END = "<!-- cells: made by tests/make_generated.py -->\n", "<!-- /cells -->"

STUB = '''"""Made by tests/make_generated.py: the public names, with all their arguments."""

from typing import Any

import keras

'''
CELLS_STUB = '''"""Made by tests/make_generated.py: the public names of `cells`."""

'''
NAMES = '''"""Made by tests/make_generated.py: the variants, for what needs no TensorFlow."""

# ruff: noqa: E501

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


def import_lines(sources):
    """Imports of names from modules, `{name: module}`, sorted as ruff does: constants first."""

    def place(name):
        return (sources[name], not name.isupper(), not name[0].isupper(), name.lower())

    return "".join(
        f"from {sources[name]} import {name} as {name}\n" for name in sorted(sources, key=place)
    )


def with_arguments():
    """The classes that the stub spells out."""
    return {
        name: value
        for name, value in vars(klv).items()
        if name in klv.__all__
        and inspect.isclass(value)
        and hasattr(value, "__signature__")
        and value.__module__.split(".")[1] in ("cells", "generative")
    }


def stub():
    classes = with_arguments()
    public = [name for name in klv.__all__ if name not in classes]
    text = STUB + f"from {PACKAGE} import tuning as tuning\n"
    text += import_lines(dict.fromkeys(public, f"{PACKAGE}._public"))
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


def cells_stub():
    classes = with_arguments()
    sources = {
        name: PACKAGE if name in classes else getattr(cells, name).__module__
        for name in cells.__all__
    }
    return CELLS_STUB + import_lines(sources) + "\n__all__: list[str]\n"


def variants():
    """Our own variants by name; a program may have registered others."""
    return {n: klv.get_variant(n) for n in klv.list_variants() if n in cells.__all__}


def variant_names():
    rows = {name: layer.cell_class.reference for name, layer in variants().items()}
    with_memory = [n for n in cells.__all__ if getattr(getattr(cells, n), "needs_memory", False)]
    return (
        f"{NAMES}VARIANTS = {json.dumps(rows, indent=4, ensure_ascii=False)[:-2]},\n}}\n\n"
        "# Known by name, but no variants: they read a memory, too.\n"
        f"WITH_MEMORY = {json.dumps(with_memory)}\n"
    )


def readme_table():
    rows = [
        "| Layer | Cell | States | Columns of the kernels | `forget_bias` | Reference |",
        "|---|---|---|---|---|---|",
    ]
    for name, layer in variants().items():
        cell = layer.cell_class
        keeps = "-"
        if cell.forget_gate:
            gate, sign = cell.forget_gate
            minus = "" if sign > 0 else ", with a minus"
            usual = cell.usual_forget_bias_text or f"{cell.usual_forget_bias:g}"
            keeps = f"`{gate}`{minus}; usually {usual}"
        rows.append(
            f"| `{name}` | `{cell.__name__}` | {' '.join(s.name for s in cell.states)} "
            f"| {' '.join(cell.gates)} | {keeps} | {cell.reference} |"
        )
    return "\n".join(rows) + "\n"


def readme(text):
    before, rest = text.split(BEGIN)
    return before + BEGIN + readme_table() + END + rest.split(END)[1]


def generated(root):
    """What the files under `root` should hold."""
    return {
        "README.md": readme((root / "README.md").read_text("utf-8")),
        f"{PACKAGE}/__init__.pyi": stub(),
        f"{PACKAGE}/cells/__init__.pyi": cells_stub(),
        f"{PACKAGE}/core/variant_names.py": variant_names(),
    }


def out_of_date(root):
    """The files under `root` that are not as they should be, with what they should hold."""
    return {
        path: text
        for path, text in generated(root).items()
        if not (root / path).exists() or (root / path).read_text("utf-8") != text
    }


def main(arguments, root=ROOT):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(arguments).check
    stale = out_of_date(root)
    for path, text in stale.items():
        print("out of date:" if check else "written:", path)
        if not check:
            (root / path).write_text(text, "utf-8")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
