"""Ratios, their means, and tables of what was measured."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_lstm_variants._cli.tables import aligned, csv_data
from keras_lstm_variants._cli.work_folder import write_atomically
from keras_lstm_variants.bench.driver import COLUMNS, Row

_OURS = ("klv", "klv_xla")


def as_it_comes(rows: Sequence[Row], *sides: str) -> Row | None:
    """The best row of the sides where a function is not compiled, as by Keras's default."""
    return best([r for r in rows if r["jit"] is not True], *sides) or best(rows, *sides)


def best(rows: Sequence[Row], *sides: str) -> Row | None:
    """The row of the sides with the lowest median: the best setting."""
    timed = [r for r in rows if r["side"] in sides and r.get("median_ms") is not None]
    return min(timed, key=lambda r: r["median_ms"], default=None)


# Name of a ratio: what it divides, as (which settings count, sides). Of torch, all threads or one.
RATIOS = {
    "klv/keras": ((as_it_comes, "klv"), (as_it_comes, "keras")),
    "klv/best keras": ((as_it_comes, "klv"), (best, "keras")),
    "klv/torch": ((as_it_comes, "klv"), (best, "torch")),
    "klv/RNN(cell)": ((as_it_comes, "klv"), (as_it_comes, "rnn")),
    "best/best keras": ((best, *_OURS), (best, "keras")),
    "best/torch": ((best, *_OURS), (best, "torch")),
    "floor/klv": ((best, "floor"), (as_it_comes, "klv")),
}
# What tables show for the name in the files of results.
_HEADS = {"floor/klv": "bound/klv"}
HEADS = [_HEADS.get(name, name) for name in RATIOS]


def ratio_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each variant, shape, kind and option: our time, and the ratios of medians."""
    keys = ("variant", "batch", "time", "features", "units", "kind", "option")
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[k] for k in keys), []).append(row)
    all_ratios = []
    for key, group in groups.items():
        ours, quickest = as_it_comes(group, "klv"), best(group, *_OURS)
        ratios: dict[str, float | None] = dict.fromkeys(RATIOS)
        for name, chosen in RATIOS.items():
            over, under = (of(group, *sides) for of, *sides in chosen)
            if over and under:
                ratios[name] = over["median_ms"] / under["median_ms"]
        all_ratios.append(
            {
                **dict(zip(keys, key, strict=True)),
                "klv_ms": ours and ours["median_ms"],
                "best_ms": quickest and quickest["median_ms"],
                **ratios,
            }
        )
    return all_ratios


def geometric_means(ratios: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each variant and kind: the geometric mean of each ratio over the shapes that have it."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in ratios:
        if not row["option"]:
            groups.setdefault((row["variant"], row["kind"]), []).append(row)
    all_means = []
    for (variant, kind), group in groups.items():
        means: dict[str, float | None] = {}
        for name in RATIOS:
            values = [row[name] for row in group if row[name] is not None]
            logs = [math.log(v) for v in values]
            means[name] = math.exp(math.fsum(logs) / len(logs)) if logs else None
        all_means.append({"variant": variant, "kind": kind, "shapes": len(group), **means})
    return all_means


def option_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """What an option costs: time with it over time without, each side's best XLA setting."""
    keys = ("variant", "batch", "time", "features", "units", "kind", "side")
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[k] for k in keys), []).append(row)
    costs = []
    for key, group in groups.items():
        side = key[-1]
        without = best([r for r in group if not r["option"]], side)
        for option in dict.fromkeys(r["option"] for r in group if r["option"]):
            with_it = best([r for r in group if r["option"] == option], side)
            if with_it and without:
                times = {"ms": with_it["median_ms"], "ms_without": without["median_ms"]}
                row = {**dict(zip(keys, key, strict=True)), "option": option, **times}
                costs.append({**row, "ratio": times["ms"] / times["ms_without"]})
    return costs


# Tables: a head, and rows of cells.

Table = tuple[list[str], list[list[str]]]


def number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def on_off(jit: bool | None) -> str:
    return {None: "-", False: "off", True: "on"}[jit]


def shape_of(row: dict[str, Any]) -> str:
    return "x".join(str(row[k]) for k in ("batch", "time", "features", "units"))


def times_table(rows: Sequence[Row]) -> Table:
    """Every contender, in milliseconds."""
    head = ["contender", "XLA", "median ms", "quartiles", "min", "max", "first call s"]
    cells = []
    for r in rows:
        name = r["contender"]
        if r.get("median_ms") is None:
            cells.append([name, on_off(r["jit"]), "FAILED", "", "", "", ""])
            continue
        quartiles = f"{r['quartile1_ms']:.2f} - {r['quartile3_ms']:.2f}"
        times = [number(r["median_ms"]), quartiles, number(r["min_ms"]), number(r["max_ms"])]
        cells.append([name, on_off(r["jit"]), *times, number(r["first_call_s"])])
    return head, cells


def ratios_table(ratios: Sequence[dict[str, Any]]) -> Table:
    head = ["variant", "shape", "kind", "klv ms", "best ms", *HEADS]
    return head, [
        [
            r["variant"],
            shape_of(r),
            r["kind"],
            number(r["klv_ms"]),
            number(r["best_ms"]),
            *(number(r[name]) for name in RATIOS),
        ]
        for r in ratios
    ]


def means_table(means: Sequence[dict[str, Any]]) -> Table:
    head = ["variant", "kind", "shapes", *HEADS]
    return head, [
        [m["variant"], m["kind"], str(m["shapes"]), *(number(m[name]) for name in RATIOS)]
        for m in means
    ]


def plain(table: Table) -> str:
    """A table for a terminal."""
    return aligned(*table)


def markdown(table: Table) -> str:
    """A table for a Markdown file."""
    head, rows = table
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(folder: Path, name: str, results: dict[str, Any], rows: Sequence[Row]) -> None:
    """`name`.json with all results, and `name`.csv with the rows."""
    data = json.dumps(results, indent=1, allow_nan=False)
    write_atomically(folder / f"{name}.json", (data + "\n").encode())
    columns = list(rows[0]) if rows else list(COLUMNS)
    write_atomically(folder / f"{name}.csv", csv_data(columns, rows))
