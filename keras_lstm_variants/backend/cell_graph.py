"""What a step is made of: which states, gates and weights each of its values comes from."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import tensorflow as tf

_PRODUCTS = {"MatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum", "Mul"}
# Operations that choose among values, and change none.
_CHOICES = {"Split", "SplitV", "StridedSlice", "Slice", "Reshape", "Identity", "Cast", "Unpack"}
_FUNCTIONS = {"Sigmoid": "σ", "Tanh": "tanh", "Softmax": "softmax", "Relu": "relu"}


# Between values of the same shape.
_SIGNS = {"Mul": "×", "AddV2": "+", "Add": "+", "AddN": "+", "Sub": "-"}


class Operation(NamedTuple):
    """A sum, product or function of others, which are as it is or sources of a part."""

    sign: str
    of: tuple[Any, ...]


class Part(NamedTuple):
    """A gate, a new state, or the output of a step where that is neither.

    Attributes:
        kind: `"gate"`, `"new"` or `"output"`.
        name: as the cell names it.
        function: the function that made it, as `"σ"`; empty where it is no known one.
        sources: where it comes from, without what lies behind another part: `("x", "")`,
            `("constant", name)`, `("old", state)`, `("gate", name)` or `("new", state)`, each
            with the weights in between, name -> whether it is a matrix.
        made: how it is made of them, an `Operation`, where these are sums, products and functions
            without weights; else None.
    """

    kind: str
    name: str
    function: str
    sources: dict[tuple[str, str], dict[str, bool]]
    made: Operation | None


def wiring(cell: Any, inputs: int, names: list[str]) -> list[Part]:
    """The parts of one step of a built cell, in the order in which it computes them.

    Args:
        cell: a `Cell`.
        inputs: the number of input features.
        names: names of the cell's trainable weights.
    """
    trace = _Trace(_in_one_precision(cell), inputs)
    found = {trace.x.ref(): ("x", "")}
    found |= {tensor.ref(): ("constant", name) for name, tensor in trace.constants}
    found |= {t.ref(): ("old", n) for t, n in zip(trace.states, cell.state_names, strict=True)}
    for kind, name, tensor in trace.parts:
        found.setdefault(tensor.ref(), (kind, name))
    known = dict(zip((v.ref() for v in trace.values), names, strict=True))
    made = []
    for (kind, name, tensor), used in zip(trace.parts, trace.used_weights(), strict=True):
        sources = _sources(tensor, (kind, name), found, known)
        # Of values that are joined and cut apart again, the graph knows no columns.
        own = {known[v.ref()] for v, is_used in zip(trace.values, used, strict=True) if is_used}
        for source, links in sources.items():
            sources[source] = {w: m for w, m in links.items() if w in own} or links
        how = None if any(sources.values()) else _made(tensor, (kind, name), found)
        how = how if isinstance(how, Operation) else None
        made.append(Part(kind, name, _function(tensor), sources, how))
    place = {op.name: k for k, op in enumerate(trace.x.graph.get_operations())}
    order = [
        (place[tensor.op.name], kind != "gate", k)
        for k, (kind, _, tensor) in enumerate(trace.parts)
    ]
    return [made[k] for *_, k in sorted(order)]


def _in_one_precision(cell: Any) -> Any:
    """The cell, or in mixed precision one like it without: nothing is cast between its parts."""
    if cell.compute_dtype == cell.variable_dtype:
        return cell
    same = type(cell).from_config({**cell.get_config(), "dtype": cell.variable_dtype})
    same.build_from_config(cell.get_build_config())
    return same


class _Trace:
    """One step of a cell as a graph."""

    def __init__(self, cell: Any, inputs: int) -> None:
        self.cell, self.weights = cell, list(cell.trainable_weights)
        dtype = cell.compute_dtype
        self.function = tf.function(self._step, autograph=False).get_concrete_function(
            tf.TensorSpec([2, inputs], dtype),
            [tf.TensorSpec([2, *s.shape_in(cell)], s.dtype_in(cell)) for s in cell.states],
            [tf.TensorSpec(w.shape, w.dtype) for w in self.weights],
        )

    def _step(self, x: Any, states: list[Any], values: list[Any]) -> Any:
        heard: dict[str, Any] = {}
        with (
            keras.StatelessScope(state_mapping=list(zip(self.weights, values, strict=True))),
            self.cell.captured_by(heard.update),
            self.cell.with_examples(),
        ):
            self.constants = [
                (d.constant, d.value) for d in self.cell.derived_weights if d.constant
            ]
            projected = self.cell.project_inputs(x, training=False)
            output, new = self.cell.advance(projected, tuple(states), False)
        self.x, self.states, self.values = x, states, values
        names = self.cell.state_names
        # A gate that is a state, too, is one part.
        self.parts = [("gate", n, tf.convert_to_tensor(v)) for n, v in heard.items()]
        self.parts = [part for part in self.parts if part[1] not in names]
        self.parts += [("new", n, v) for n, v in zip(names, new, strict=True)]
        if not any(output is value for *_, value in self.parts):
            self.parts.append(("output", "output", output))
        tensors = [tensor for *_, tensor in self.parts]
        slopes = [
            tf.gradients(
                tensor,
                values,
                unconnected_gradients="zero",
                # What comes by way of another part is that part's.
                stop_gradients=[t for t in tensors if t is not tensor],
            )
            for tensor in tensors
        ]
        return [[tf.reduce_any(tf.not_equal(s, 0)) for s in of_part] for of_part in slopes]

    def used_weights(self) -> list[list[bool]]:
        """For each part, whether it depends on each weight, in a step from random values."""
        random = tf.random.Generator.from_seed(1)

        def draw(value: Any) -> Any:
            return tf.cast(random.normal(value.shape), value.dtype)

        states = [
            tf.zeros(s.shape, s.dtype) if state.kind == "counter" else draw(s)
            for s, state in zip(self.states, self.cell.states, strict=True)
        ]
        used = self.function(draw(self.x), states, [draw(v) for v in self.values])
        return [[bool(u) for u in of_part] for of_part in used]


def _function(tensor: Any) -> str:
    while tensor.op.type in _CHOICES:
        tensor = tensor.op.inputs[1 if tensor.op.type == "Split" else 0]
    return _FUNCTIONS.get(tensor.op.type, "")


def _made(tensor: Any, own: tuple[str, str], found: dict[Any, Any]) -> Any:
    """A source, or an `Operation` on some; None for any other way."""
    source = found.get(tensor.ref(), own)
    if source != own:
        return source
    kind, inputs = tensor.op.type, list(tensor.op.inputs)
    if kind in ("Identity", "Cast"):
        return _made(inputs[0], own, found)
    if kind == "Sub" and tf.get_static_value(inputs[0]) is not None:
        ones = (tf.get_static_value(inputs[0]) == 1).all()
        sign, inputs = "1 -" if ones else None, inputs[1:]
    else:
        sign = _SIGNS.get(kind) or _FUNCTIONS.get(kind)
    of = [_made(i, own, found) for i in inputs]
    if sign is None or None in of:
        return None
    if sign in "+×":  # of three, not two of two
        of = [p for o in of for p in (o.of if getattr(o, "sign", "") == sign else (o,))]
    return Operation(sign, tuple(of))


def _sources(
    tensor: Any, own: tuple[str, str], found: dict[Any, Any], weights: dict[Any, str]
) -> dict[tuple[str, str], dict[str, bool]]:
    """Sources of a tensor, and the weights by which they are multiplied on the way."""
    if found.get(tensor.ref(), own) != own:
        return {found[tensor.ref()]: {}}
    cones: dict[Any, tuple[set[Any], set[str]]] = {}
    between: dict[tuple[str, str], dict[str, bool]] = {}
    for value in _behind(tensor, own, found, weights):
        if value.ref() in weights:
            cones[value.ref()] = (set(), {weights[value.ref()]})
            continue
        if value.ref() in found and found[value.ref()] != own:
            cones[value.ref()] = ({found[value.ref()]}, set())
            continue
        parts = [cones[i.ref()] for i in value.op.inputs]
        cones[value.ref()] = (
            set().union(*(sources for sources, _ in parts)),
            set().union(*(used for _, used in parts)),
        )
        if value.op.type in _PRODUCTS:
            for left, right in (parts, parts[::-1]):
                for source in left[0] if not right[0] else ():
                    for weight in right[1]:
                        matrix = value.op.type != "Mul"
                        links = between.setdefault(source, {})
                        links[weight] = links.get(weight, False) or matrix
    names = list(weights.values())
    return {
        source: dict(sorted(between.get(source, {}).items(), key=lambda w: names.index(w[0])))
        for source in dict.fromkeys(found.values())
        if source in cones[tensor.ref()][0]
    }


def _behind(
    tensor: Any, own: tuple[str, str], found: dict[Any, Any], weights: dict[Any, str]
) -> Iterator[Any]:
    """The values behind a tensor up to other parts and weights, in topological order."""
    done, waiting = set(), [(tensor, False)]
    while waiting:
        value, ready = waiting.pop()
        if ready:
            yield value
        elif value.ref() not in done:
            done.add(value.ref())
            waiting.append((value, True))
            ends = value.ref() in weights or found.get(value.ref(), own) != own
            waiting += [] if ends else [(i, False) for i in value.op.inputs]
