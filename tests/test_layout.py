"""What may import what: the map in CONTRIBUTING, held."""

import ast
import re
from functools import cache
from pathlib import Path

import keras_lstm_variants

PACKAGE = Path(keras_lstm_variants.__file__).parent
CONTRIBUTING = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")


def rooms():
    """Modules and packages at the top, in the order of the map: each may import those above."""
    table = CONTRIBUTING.split("## What lives where")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)/?` \|", table, re.M)


def module_imports(path):
    """The modules of ours that a module imports when it is imported."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE.name):
            names = node.module.split(".")[1:]
            yield from [names[0]] if names else [alias.name for alias in node.names]


@cache
def imports():
    graph = {room: set() for room in rooms()}
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if room != "__init__":
            graph[room] |= set(module_imports(path)) & set(graph) - {room}
    return graph


def test_the_map_has_every_room():
    at_the_top = {
        p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()
    }
    assert set(rooms()) == at_the_top - {"__init__"}
    assert len(at_the_top) <= 24


def test_nothing_imports_upward():
    order = rooms()
    upward = {
        (room, other)
        for room, others in imports().items()
        for other in others
        if order.index(other) > order.index(room)
    }
    assert not upward


def test_the_import_graph_is_shallow():
    @cache
    def depth(room):
        return 1 + max(map(depth, imports()[room]), default=0)

    assert max(map(depth, rooms())) <= 10
