"""A diagram of a cell, drawn from the step that it really computes."""

import itertools
import textwrap
from typing import Any

import keras

from keras_lstm_variants.analysis.describe import cell_and_facts, weights_of
from keras_lstm_variants.analysis.describe_text import plain
from keras_lstm_variants.backend import cell_graph
from keras_lstm_variants.core.cell import Cell
from keras_lstm_variants.plots import _style
from keras_lstm_variants.plots._layered import Layered

_WIDE, _HIGH = 1.75, 0.62  # inches from box to box
_NARROW, _ROUND = 0.65, 0.13  # inches from sign to sign, and half of one
_LETTER = 0.068  # inches, of the small text that is as wide as typed
_KEY = "lines: thick - times a matrix; broken - times a weight for each unit; thin - no weights"


def cell_diagram(
    variant: str | type | keras.layers.Layer,
    features: int | None = None,
    units: int | None = None,
    **options: Any,
) -> Any:
    """A diagram of a cell: its states and gates, what each is made of, and the weights between.

    It is drawn from a step that the cell computes, so it is right for any cell, of this package
    or yours: on the left the input and the old states, then each gate and new state, to the
    right of everything it needs, with the sums and products in between. A thick line is a
    product with a matrix of weights, a broken one with a weight for each unit (as peepholes), a
    thin one has no weights. A dot joins the inputs of one product. Below: every weight, with its
    shape, and the equations.

    Args:
        variant: name of a registered variant, its layer class or a cell class; or a layer or cell,
            which has its own sizes and arguments.
        features: number of input features; also called `input_dim`. Default: 80; of a built layer
            or cell, its own.
        units: number of units. Default: 12; of a layer or cell, its own.
        **options: further arguments of the cell, as `peepholes=("f",)`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: the variant is unknown or not a `klv.Cell`, or an argument is out of its range
            or contradicts the layer.
        ModuleNotFoundError: matplotlib is not installed.

    Example:
        >>> import keras_lstm_variants as klv
        >>> figure = klv.plots.cell_diagram("GRU", features=3, units=4)
        >>> [text.get_text() for text in figure.axes[0].texts[:3]]
        ['x[t]', 'h[t-1]', 'z']
    """
    cell, facts = cell_and_facts(variant, features, units, options, with_values=True)
    if not isinstance(cell, Cell):
        raise ValueError(
            "`variant` must be a cell of keras_lstm_variants or one made like them, of `klv.Cell`. "
            f"Received: variant={variant!r}"
        )
    parts = cell_graph.wiring(cell, facts["features"], [name for name, _ in weights_of(cell)])
    diagram = _Diagram(cell, parts)
    lines = _weight_lines(facts, diagram)
    sizes = f"{facts['features']} features, {facts['units']} units: {facts['parameters']:,} weights"
    equations = [
        line
        for equation in facts["equations"]
        for line in textwrap.wrap(plain(equation), 110, subsequent_indent="    ")
    ]
    width = max(
        diagram.width,
        6.0,
        _LETTER * max(len(line) for line in (_KEY, *(line for line, _ in lines))) + 0.5,
        _LETTER * max(map(len, equations), default=0) + 0.5,
    )
    below = 0.165 * (len(lines) + len(equations) + (3 if equations else 2)) + 0.15
    figure = _style.new_figure(width, diagram.height + below + 0.4)
    axes, text = figure.subplots(2, 1, height_ratios=(diagram.height, below))
    figure.suptitle(f"{facts['name']}   {sizes}", fontsize=11)
    diagram.draw(axes, width)
    written = [*lines, (_KEY, "0.4"), ("", "black"), *((line, "black") for line in equations)]
    text.axis("off")
    text.set(xlim=(0, 1), ylim=(len(written), 0))
    for k, (line, colour) in enumerate(written):
        text.text(
            0.01,
            k + 0.5,
            line,
            color=colour,
            fontsize=8,
            family="monospace",
            va="center",
            parse_math=False,
        )
    return figure


class _Diagram:
    """The nodes of a cell, the links between them, and how they are drawn."""

    def __init__(self, cell: Any, parts: list[cell_graph.Part]) -> None:
        self.parts = {(part.kind, part.name): part for part in parts}
        order = {name: k for k, name in enumerate(cell.gates)}
        nodes = sorted(self.parts, key=lambda node: order.get(node[1].split("_")[0], len(order)))
        given = dict.fromkeys(d.constant for d in cell.derived_weights if d.constant)
        starts = [("x", ""), *(("constant", name) for name in given)]
        starts += [("old", name) for name in cell.state_names]
        read = {source for part in parts for source in part.sources}
        self.starts = [node for node in starts if node in read or node[0] == "x"]
        # target -> source -> the weights between, name -> whether it is a matrix
        self.links = {node: dict(self.parts[node].sources) for node in nodes}
        # Of the real sources, for the list of weights.
        self.through: dict[str, tuple[list[Any], list[Any]]] = {}
        for target, links in self.links.items():
            for source, weights in links.items():
                for weight in weights:
                    froms, tos = self.through.setdefault(weight, ([], []))
                    froms += [source] if source not in froms else []
                    tos += [target] if target not in tos else []
        self.joints = self._join()
        self.signs: dict[Any, str] = {}
        for node in nodes:
            if self.parts[node].made:
                self.links[node] = {self._sign(self.parts[node].made): {}}
        sources = {node: [] for node in self.starts}
        sources |= {node: list(links) for node, links in self.links.items()}
        self.layered = Layered(sources, self.joints | set(self.signs))
        boxes = {self.layered.at[node][0] for node in (*self.starts, *nodes)}
        wide = self.wide = [_WIDE if k in boxes else _NARROW for k in range(self.layered.columns)]
        self.across = [sum(wide[:k]) + (wide[k] - wide[0]) / 2 for k in range(len(wide))]
        kinds = [node for node in self.starts if node[0] != "x"]
        self.colours = {("x", ""): _style.COLOURS[0]}
        for k, node in enumerate(kinds):
            self.colours[node] = _style.COLOURS[1:6][k % 5]
        self.half = (
            0.045 * max(6, *(len(self.label(n)) for n in (*self.starts, *self.parts))) + 0.06
        )
        self.width = self.across[-1] + 1.3
        self.height = _HIGH * self.layered.height + 0.2

    def _join(self) -> set[Any]:
        """Where several sources go into the same products of several targets, a dot between."""
        into: dict[Any, dict[Any, dict[str, bool]]] = {}
        for target, links in self.links.items():
            for source, weights in links.items():
                if weights:
                    into.setdefault(source, {})[target] = weights
        groups: dict[Any, list[Any]] = {}
        for source, targets in into.items():
            if len(targets) > 1:
                alike = tuple((target, tuple(weights)) for target, weights in targets.items())
                groups.setdefault(alike, []).append(source)
        joints = set()
        for sources in groups.values():
            if len(sources) < 2:
                continue
            joint = ("joint", str(len(joints)))
            joints.add(joint)
            for target, weights in into[sources[0]].items():
                apart = {s: w for s, w in self.links[target].items() if s not in sources}
                self.links[target] = apart | {joint: weights}
            self.links[joint] = {source: {} for source in sources}
        return joints

    def _sign(self, made: Any) -> Any:
        """The node of an operation, with links from what it is done to; a source is its own."""
        if not isinstance(made, cell_graph.Operation):
            return made
        node = ("sign", str(len(self.signs)))
        self.signs[node] = made.sign
        self.links[node] = {self._sign(source): {} for source in made.of}
        return node

    def label(self, node: Any) -> str:
        kind, name = node
        return {"x": "x[t]", "old": f"{name}[t-1]", "new": f"{name}[t]"}.get(kind, name)

    def colour(self, node: Any) -> str:
        return self.colours.get(node, "0.3")

    def draw(self, axes: Any, width: float) -> None:
        parts = _style.drawing()
        at = {n: (self.across[c], h * _HIGH) for n, (c, h) in self.layered.at.items()}
        heights = [y for _, y in at.values()]
        spare = (width - self.width) / 2
        axes.axis("off")
        axes.set_xlim(-0.6 - spare, self.width - 0.6 + spare)
        axes.set_ylim(min(heights) - 0.4, max(heights) + 0.4)
        axes.set_aspect("equal")
        for (a, b), (source, styles) in self._segments().items():
            style = styles[0] if all(style == styles[0] for style in styles) else _line({})
            end = b in self.parts or b in self.signs
            axes.add_patch(
                parts.FancyArrowPatch(
                    path=self._curve(a, b, at),
                    arrowstyle="-|>" if end else "-",
                    mutation_scale=9,
                    color=self.colour(source),
                    **style,
                )
            )
        for node in (*self.starts, *self.parts):
            self._box(axes, node, at[node])
        for joint in self.joints:
            axes.plot(*at[joint], marker="o", markersize=5, color="0.3")
        for node, sign in self.signs.items():
            shape = "circle,pad=0.15" if len(sign) == 1 else "round,pad=0.2"
            look = {"boxstyle": shape, "facecolor": "white", "edgecolor": "0.3"}
            axes.text(*at[node], sign, ha="center", va="center", fontsize=9, bbox=look, zorder=4)

    def _segments(self) -> dict[tuple[Any, Any], tuple[Any, list[dict[str, Any]]]]:
        """From point to point: whose line it is, and the styles of those that share it."""
        found: dict[tuple[Any, Any], tuple[Any, list[dict[str, Any]]]] = {}
        for target, links in self.links.items():
            for source, weights in links.items():
                way = self.layered.way(source, target)
                for pair in itertools.pairwise(way):
                    found.setdefault(pair, (source, []))[1].append(_line(weights))
        return found

    def _curve(self, a: Any, b: Any, at: dict[Any, Any]) -> Any:
        """A line that leaves and arrives level, and passes level between the boxes of a column."""
        (x, y), (to_x, to_y) = at[a], at[b]
        x += self._half(a)
        to_x -= self._half(b)
        reach = 0.4 * (to_x - x)
        points = [(x, y), (x + reach, y), (to_x - reach, to_y), (to_x, to_y)]
        path = _style.drawing().Path
        codes = [path.MOVETO, *[path.CURVE4] * 3]
        if b not in self.links:
            points.append((to_x + 2 * self._half(b), to_y))
            codes.append(path.LINETO)
        return path(points, codes)

    def _half(self, node: Any) -> float:
        """How far a node reaches to each side."""
        if node in self.joints:
            return 0.0
        if node in self.signs:
            return max(_ROUND, 0.045 * len(self.signs[node]) + 0.06)
        is_line = node not in self.links and node not in self.starts
        return min(self.half, 0.45 * self.wide[node[2]]) if is_line else self.half

    def _box(self, axes: Any, node: Any, at: tuple[float, float]) -> None:
        state, (x, y), half = node[0] in ("old", "new"), at, self.half
        axes.add_patch(
            _style.drawing().FancyBboxPatch(
                (x - half + 0.08, y - 0.12),
                2 * half - 0.16,
                0.24,
                boxstyle=f"{'round' if state else 'square'},pad=0.08",
                facecolor="#E8F1F8" if state else "#FFF6DC" if node[0] == "gate" else "white",
                edgecolor=self.colour(node),
                linewidth=1.3,
                zorder=3,
            )
        )
        axes.text(x, y, self.label(node), ha="center", va="center", fontsize=10, zorder=4)
        function = self.parts[node].function if node in self.parts else ""
        if function and node[0] == "gate":
            axes.text(
                x + half + 0.02,
                y + 0.21,
                function,
                fontsize=8,
                ha="right",
                va="bottom",
                color="0.3",
            )


def _line(weights: dict[str, bool]) -> dict[str, Any]:
    if any(weights.values()):
        return {"linewidth": 2.2}
    return {"linewidth": 1.5, "linestyle": (0, (3, 2))} if weights else {"linewidth": 1.0}


def _weight_lines(facts: dict[str, Any], diagram: _Diagram) -> list[tuple[str, str]]:
    """A line for each weight, in the colour of what it is multiplied with."""
    rows = []
    for name, weight in facts["weights"].items():
        sources, targets = diagram.through.get(name, ([], []))
        into = [diagram.label(t) for t in targets] or list(weight["columns"])
        way = f"{', '.join(map(diagram.label, sources))} -> {' '.join(into)}"
        if not sources:
            way = f"added to {' '.join(into)}" if into else ""
        colour = diagram.colour(sources[0]) if len(sources) == 1 else "black"
        rows.append(((name, str(tuple(weight["shape"])), f"{weight['count']:,}", way), colour))
    widths = [max((len(row[k]) for row, _ in rows), default=0) for k in range(3)]
    return [
        (
            f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}   {row[3]}",
            colour,
        )
        for row, colour in rows
    ] or [("no weights", "black")]
