"""The facts of `describe` as text and as Markdown."""

import re
import textwrap
from typing import Any

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
    (r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"(\1) / (\2)"),
    (r"\\tilde (\w)", r"\1~"),
    (r"\\varphi", "phi"),
    (r"\\(sigma|tanh|log|alpha|beta|gamma|tau|sum|exp|max)", r"\1"),
    (r"_\{t-1\}", "[t-1]"),
    (r"_t\b", "[t]"),
    (r"_\{(\w+)\}", r"_\1"),
    (r"_\{(\w+-\w+)\}", r"_(\1)"),
    (r"[{}$]", ""),
]


def plain(text: str) -> str:
    """LaTeX of a docstring as plain text."""
    for pattern, plain in _PLAIN:
        text = re.sub(pattern, plain, text)
    return text.strip()


def _total(facts: dict[str, Any]) -> str:
    share = facts["parameters"] / facts["lstm_parameters"]
    text = f"{facts['parameters']:,}"
    if facts["formula"]:
        # Options as `use_bias` change the number, and the formula is that of the defaults.
        text += " (by default " if facts["options"] else " = "
        text += facts["formula"] + (")" if facts["options"] else "")
    return f"{text}; an LSTM of this size has {facts['lstm_parameters']:,} ({share:.2f} times)"


def _shape(shape: list[Any]) -> str:
    return f"({', '.join(map(str, shape))})"


def as_text(facts: dict[str, Any]) -> str:
    lines = [f"{facts['name']} ({facts['cell']})", plain(facts["summary"]), ""]
    lines += [f"    {plain(line)}" for line in facts["equations"]]
    lines += [""] + [textwrap.fill(plain(note), 88) for note in facts["notes"]]
    lines += [f"Reference: {facts['reference'] or '-'}", ""]
    lines += [f"{facts['features']} features, {facts['units']} units"]
    for name, shape in facts["states"].items():
        lines.append(f"  state  {name:<18} {_shape(shape)}")
    for name, weight in facts["weights"].items():
        line = f"  weight {name:<18} {tuple(weight['shape'])!s:<14} {weight['count']:>10,}"
        lines.append(f"{line}   {' '.join(weight['columns'])}".rstrip())
    lines.append(f"  total: {_total(facts).replace('`', '')}")
    return "\n".join(lines) + "\n"


def as_markdown(facts: dict[str, Any]) -> str:
    lines = [f"## {facts['name']}", "", facts["summary"], ""]
    for line in facts["equations"]:
        lines += [f"$${line}$$", ""]
    for note in facts["notes"]:
        lines += [note, ""]
    lines += [f"Reference: {facts['reference'] or '-'}", ""]
    lines += [f"With {facts['features']} features and {facts['units']} units:", ""]
    lines += ["| | shape | count | columns |", "|---|---|---|---|"]
    lines += [f"| state `{n}` | {_shape(s)} | | |" for n, s in facts["states"].items()]
    lines += [
        f"| weight `{n}` | {tuple(w['shape'])} | {w['count']:,} | {' '.join(w['columns'])} |"
        for n, w in facts["weights"].items()
    ]
    lines += ["", f"Total: {_total(facts)}."]
    return "\n".join(lines) + "\n"
