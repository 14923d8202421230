"""A diagram of a cell, drawn from the step that it really computes."""

import textwrap
from typing import Any

from keras_lstm_variants import engine
from keras_lstm_variants.cell import Cell
from keras_lstm_variants.describe import facts, plain, weights_of
from keras_lstm_variants.plots import _style
from keras_lstm_variants.plots._layered import Layered

_WIDE, _HIGH = 1.75, 0.62  # inches from box to box
_LETTER = 0.068  # inches, of the small text that is as wide as typed


def cell_diagram(
    variant: Any, input_dim: int = 80, units: int = 12, **options: Any
) -> Any:
    """A diagram of a cell: its states and gates, what each is made of, and the weights between.

    It is drawn from a step of the cell as it is computed, so that it is right for any cell of
    ours or yours: on the left the input and the old states, then each gate and new state, right
    of all that it needs. A thick line is a product with a matrix of weights, a broken one with a
    weight for each unit (as peepholes), a thin one has no weights. A dot joins what goes into
    one product. Below: every weight, with its shape, and the equations.

    Args:
        variant: name of a registered variant, its layer class or a cell class; or a layer or cell,
            which has its own sizes and arguments.
        input_dim: number of input features.
        units: number of units.
        **options: further arguments of the cell, as `peepholes=("f",)`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: the variant is unknown or no cell of `klv.Cell`, or an argument is out of its
            range.
        ModuleNotFoundError: matplotlib is not installed.

    Example:
        >>> import keras_lstm_variants as klv
        >>> figure = klv.plots.cell_diagram("GRU", input_dim=3, units=4)
        >>> [text.get_text() for text in figure.axes[0].texts[:3]]
        ['x[t]', 'h[t-1]', 'z']
    """
    cell, found = facts(variant, input_dim, units, options)
    if not isinstance(cell, Cell):
        raise ValueError(
            "`variant` must be a cell of keras_lstm_variants or one made like them, of `klv.Cell`. "
            f"Received: variant={variant!r}"
        )
    parts = engine.wiring(cell, found["input_dim"], [name for name, _ in weights_of(cell)])
    diagram = _Diagram(cell, parts)
    lines = _weight_lines(found, diagram)
    sizes = f"{found['input_dim']} inputs, {found['units']} units: {found['parameters']:,} weights"
    equations = [
        line
        for equation in found["equations"]
        for line in textwrap.wrap(plain(equation), 110, subsequent_indent="    ")
    ]
    width = max(
        diagram.width, 6.0, _LETTER * max(len(line) for line, _ in lines) + 0.5,
        _LETTER * max(map(len, equations), default=0) + 0.5,
    )
    below = 0.165 * (len(lines) + len(equations) + (2 if equations else 1)) + 0.15
    figure = _style.new_figure(width, diagram.height + below + 0.4)
    axes, text = figure.subplots(2, 1, height_ratios=(diagram.height, below))
    axes.set_title(f"{found['name']}   {sizes}", fontsize=11)
    diagram.draw(axes, width)
    written = [*lines, ("", "black"), *((line, "black") for line in equations)]
    text.axis("off")
    text.set(xlim=(0, 1), ylim=(len(written), 0))
    for k, (line, colour) in enumerate(written):
        text.text(
            0.01, k + 0.5, line, color=colour, fontsize=8, family="monospace", va="center",
            parse_math=False,
        )
    return figure


class _Diagram:
    """The nodes of a cell, the links between them, and their picture."""

    def __init__(self, cell: Any, parts: list[engine.Part]) -> None:
        self.parts = {("new" if part.is_state else "gate", part.name): part for part in parts}
        order = {name: k for k, name in enumerate(cell.gates)}
        nodes = sorted(self.parts, key=lambda node: order.get(node[1].split("_")[0], len(order)))
        starts = [("x", ""), *(("old", name) for name in cell.state_names)]
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
        sources = {node: [] for node in self.starts}
        sources |= {node: list(links) for node, links in self.links.items()}
        self.layered = Layered(sources, set(self.joints))
        kinds = [node for node in self.starts if node[0] == "old"]
        self.colours = {("x", ""): _style.COLOURS[0]}
        for k, node in enumerate(kinds):
            self.colours[node] = _style.COLOURS[1:6][k % 5]
        self.width = _WIDE * (self.layered.columns - 1) + 1.3
        self.height = _HIGH * self.layered.height + 0.2

    def _join(self) -> set[Any]:
        """Where several sources go into the products of several targets, a dot between them."""
        groups: dict[frozenset[Any], list[tuple[Any, tuple[str, ...]]]] = {}
        for target, links in self.links.items():
            alike: dict[tuple[str, ...], list[Any]] = {}
            for source, weights in links.items():
                if weights:
                    alike.setdefault(tuple(weights), []).append(source)
            for weights, sources in alike.items():
                if len(sources) > 1:
                    groups.setdefault(frozenset(sources), []).append((target, weights))
        joints = set()
        for sources, targets in groups.items():
            if len(targets) < 2:
                continue
            joint = ("joint", len(joints))
            joints.add(joint)
            kinds = {}
            for target, weights in targets:
                kinds = {w: self.links[target][next(iter(sources))][w] for w in weights}
                self.links[target] = {
                    s: w for s, w in self.links[target].items() if s not in sources
                } | {joint: kinds}
            first = self.links[targets[0][0]]
            # Before its targets, so that the order of the columns is that of the links.
            self.links[joint] = {s: {} for s in sorted(sources)}
            del first
        return joints

    def label(self, node: Any) -> str:
        kind, name = node
        return {"x": "x[t]", "old": f"{name}[t-1]", "new": f"{name}[t]"}.get(kind, name)

    def colour(self, node: Any) -> str:
        return self.colours.get(node, "0.3")

    def draw(self, axes: Any, width: float) -> None:
        parts = _style.drawing()
        at = {n: (c * _WIDE, h * _HIGH) for n, (c, h) in self.layered.at.items()}
        heights = [y for _, y in at.values()]
        spare = (width - self.width) / 2
        axes.axis("off")
        axes.set_xlim(-0.6 - spare, self.width - 0.6 + spare)
        axes.set_ylim(min(heights) - 0.4, max(heights) + 0.4)
        axes.set_aspect("equal")
        drawn: set[Any] = set()
        for target, links in self.links.items():
            for source, weights in links.items():
                way = self.layered.way(source, target)
                for a, b in zip(way, way[1:], strict=False):
                    last = b == target
                    if not last and (a, b) in drawn:
                        continue
                    drawn.add((a, b))
                    style = _line(weights) if last else {"linewidth": 1.0}
                    end = last and target not in self.joints
                    axes.add_patch(
                        parts.FancyArrowPatch(
                            _edge(at[a], a in self.parts or a in self.starts, 1),
                            _edge(at[b], end, -1),
                            arrowstyle="-|>" if end else "-",
                            connectionstyle=_bend(at[a], at[b]),
                            mutation_scale=8,
                            shrinkA=0,
                            shrinkB=0,
                            color=self.colour(source),
                            **style,
                        )
                    )
        for node in (*self.starts, *self.parts):
            self._box(axes, node, at[node])
        for joint in self.joints:
            axes.plot(*at[joint], marker="o", markersize=5, color="0.3")

    def _box(self, axes: Any, node: Any, at: tuple[float, float]) -> None:
        state = node[0] in ("old", "new")
        box = {
            "boxstyle": f"{'round' if state else 'square'},pad=0.3",
            "facecolor": "#E8F1F8" if state else "#FFF6DC" if node[0] == "gate" else "white",
            "edgecolor": self.colour(node),
            "linewidth": 1.3,
        }
        axes.text(*at, self.label(node), ha="center", va="center", fontsize=10, bbox=box, zorder=3)
        function = self.parts[node].function if node in self.parts else ""
        if function and node[0] == "gate":
            axes.annotate(
                function, at, xytext=(0, 11), textcoords="offset points", ha="center", fontsize=7,
                va="bottom", color="0.3", zorder=4,
                bbox={"boxstyle": "square,pad=0.05", "facecolor": "white", "edgecolor": "none"},
            )


def _line(weights: dict[str, bool]) -> dict[str, Any]:
    if any(weights.values()):
        return {"linewidth": 2.2}
    return {"linewidth": 1.5, "linestyle": (0, (3, 2))} if weights else {"linewidth": 1.0}


def _edge(at: tuple[float, float], box: bool, side: int) -> tuple[float, float]:
    return (at[0] + side * (0.36 if box else 0.0), at[1])


def _bend(a: tuple[float, float], b: tuple[float, float]) -> str:
    return "arc3,rad=0"


def _weight_lines(found: dict[str, Any], diagram: _Diagram) -> list[tuple[str, str]]:
    """A line for each weight, in the colour of what it is multiplied with."""
    rows = []
    for name, weight in found["weights"].items():
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
