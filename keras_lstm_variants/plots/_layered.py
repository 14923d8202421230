"""Where the boxes of a diagram stand, so that its lines are short and pass between them."""

import itertools
from collections.abc import Hashable

Node = Hashable
# A line that passes a column takes this much of a box's place there.
_LINE = 0.4


class Layered:
    """Nodes in columns from left to right, each right of all that it comes from.

    Args:
        sources: node -> the nodes it comes from, each of them a node, without a circle.
        small: nodes that take as little place as a line.

    Attributes:
        at: node -> (column, height). Heights are about 1 apart.
        columns: how many there are.
        height: of the highest column.
    """

    def __init__(self, sources: dict[Node, list[Node]], small: set[Node]) -> None:
        self.sources, self.small = sources, small
        self.column: dict[Node, int] = {}
        for node in sources:
            self._place(node)
        self.columns = max(self.column.values()) + 1
        # A source's line runs on through the columns up to its last target.
        self.lines = {
            source: [("line", source, k) for k in range(self.column[source] + 1, last)]
            for source in sources
            if (last := max((self.column[t] for t in sources if source in sources[t]), default=0))
        }
        self.near: dict[Node, set[Node]] = {}
        for target, its in sources.items():
            for source in its:
                way = self.way(source, target)
                for a, b in itertools.pairwise(way):
                    self.near.setdefault(a, set()).add(b)
                    self.near.setdefault(b, set()).add(a)
        self.order = self._ordered()
        self.at = self._heights()
        self.height = max(h for _, h in self.at.values()) - min(h for _, h in self.at.values()) + 1

    def way(self, source: Node, target: Node) -> list[Node]:
        """The points through which the line from a source to a target runs."""
        passed = self.column[target] - self.column[source] - 1
        return [source, *self.lines.get(source, [])[:passed], target]

    def _place(self, node: Node) -> int:
        if node not in self.column:
            self.column[node] = max((self._place(s) + 1 for s in self.sources[node]), default=0)
        return self.column[node]

    def _size(self, node: Node) -> float:
        return _LINE if node in self.small or (isinstance(node, tuple) and node[0] == "line") else 1

    def _column_of(self, node: Node) -> int:
        return self.column[node] if node in self.column else node[2]

    def _ordered(self) -> list[list[Node]]:
        """Each column from the top, by the mean place of what its nodes and lines meet."""
        columns: list[list[Node]] = [[] for _ in range(self.columns)]
        for node in self.sources:
            columns[self.column[node]].append(node)
        for points in self.lines.values():
            for point in points:
                columns[point[2]].append(point)
        best, crossings = columns, self._crossings(columns)
        for turn in range(16):
            columns = [list(column) for column in columns]
            ways = range(1, self.columns) if turn % 2 == 0 else range(self.columns - 2, -1, -1)
            for k in ways:
                beside = columns[k - 1] if turn % 2 == 0 else columns[k + 1]
                rank = {node: i / max(1, len(beside) - 1) for i, node in enumerate(beside)}
                own = {node: i / max(1, len(columns[k])) for i, node in enumerate(columns[k])}

                def mean(node: Node, rank=rank, own=own) -> float:
                    places = [rank[n] for n in self.near.get(node, ()) if n in rank]
                    return sum(places) / len(places) if places else own[node]

                columns[k].sort(key=mean)
            found = self._crossings(columns)
            if found < crossings:
                best, crossings = columns, found
        return best

    def _crossings(self, columns: list[list[Node]]) -> int:
        total = 0
        for left, right in itertools.pairwise(columns):
            rank = {node: i for i, node in enumerate(right)}
            edges = [
                (i, rank[n])
                for i, node in enumerate(left)
                for n in self.near.get(node, ())
                if n in rank
            ]
            total += sum(a < c and d < b for a, b in edges for c, d in edges)
        return total

    def _heights(self) -> dict[Node, tuple[int, float]]:
        heights: dict[Node, float] = {}
        for column in self.order:
            total = sum(map(self._size, column))
            top = 0.0
            for node in column:
                heights[node] = total / 2 - top - self._size(node) / 2
                top += self._size(node)
        # Towards the neighbours, as far as those above and below leave room.
        for turn in range(24):
            columns = self.order if turn % 2 == 0 else self.order[::-1]
            for column in columns:
                wanted = {
                    n: sum(heights[m] for m in self.near[n]) / len(self.near[n])
                    if self.near.get(n)
                    else heights[n]
                    for n in column
                }
                heights |= self._apart(column, wanted)
        return {n: (self._column_of(n), h) for n, h in heights.items()}

    def _apart(self, column: list[Node], wanted: dict[Node, float]) -> dict[Node, float]:
        """The heights nearest to those wanted at which nothing overlaps, in the same order."""
        # Blocks that touch move as one, to the mean of what their members want.
        blocks: list[tuple[list[Node], float]] = []
        for node in column:
            blocks.append(([node], wanted[node]))
            while len(blocks) > 1 and self._touch(blocks[-2], blocks[-1]):
                upper, lower = blocks[-2], blocks[-1]
                members = upper[0] + lower[0]
                centres = dict(self._spread(members, 0.0))
                blocks[-2:] = [
                    (members, sum(wanted[n] - centres[n] for n in members) / len(members))
                ]
        return {n: h for members, centre in blocks for n, h in self._spread(members, centre)}

    def _spread(self, members: list[Node], centre: float) -> list[tuple[Node, float]]:
        top = centre + sum(map(self._size, members)) / 2
        found = []
        for node in members:
            found.append((node, top - self._size(node) / 2))
            top -= self._size(node)
        return found

    def _touch(self, upper: tuple[list[Node], float], lower: tuple[list[Node], float]) -> bool:
        sizes = [sum(map(self._size, members)) for members, _ in (upper, lower)]
        return upper[1] - sizes[0] / 2 < lower[1] + sizes[1] / 2 - 1e-9
