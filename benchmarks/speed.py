"""The full speed benchmark: many shapes and variants, one piece after the other.

    python benchmarks/speed.py                        # everything; an hour or two on 2 cores
    python benchmarks/speed.py --resume               # goes on where it was stopped
    python benchmarks/speed.py --grid 1,3 --variants PeepholeLSTM

The rows of each finished piece are in OUTPUT/speed.json and OUTPUT/speed.csv at once.
`python benchmarks/report.py` makes RESULTS.md of them.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import quiet  # noqa: F401, first

# isort: split
from keras_lstm_variants._cli.arguments import variants_of
from keras_lstm_variants._cli.errors import UsageError
from keras_lstm_variants.bench import environment, report
from keras_lstm_variants.bench.command import (
    JITS,
    add_timing_arguments,
    check_repeats,
    failures,
    kinds_of,
    measure,
    open_folder,
    shapes_of,
)
from keras_lstm_variants.bench.contenders import (
    OPTIONS,
    Contender,
    Shape,
    contenders_of,
    installed_torch,
    parse_shape,
)
from keras_lstm_variants.bench.driver import BenchError, Row
from keras_lstm_variants.core.registry import list_variants

GRID = tuple(
    map(
        parse_shape,
        (
            "32x100x128x256",
            "64x256x64x128",
            "16x500x32x64",
            "1x500x32x64",
            "64x100x512x512",
            "128x50x300x300",
            "8x1000x16x32",
        ),
    )
)
EVERYWHERE = ("LSTM", "PeepholeLSTM", "CoupledLSTM", "GRU")
# The other variants, and the options of the LSTM, are timed at these.
FEW = (GRID[0], GRID[2])
RESULTS = Path(__file__).parent / "results"


class Piece(NamedTuple):
    """What is measured, and written, at once."""

    what: str  # "speed", or "options": what dropout and a mask cost
    variant: str
    shape: Shape

    @property
    def name(self) -> str:
        return f"{self.what} {self.variant} {self.shape}"


def pieces_of(
    variants: Sequence[str] | None, shapes: Sequence[Shape], options: bool | None
) -> list[Piece]:
    """All pieces of a run; without `variants`, every one at the shapes where it belongs."""
    found = [Piece("speed", v, s) for s in shapes for v in variants or EVERYWHERE]
    if variants is None:
        others = [v for v in list_variants() if v not in EVERYWHERE]
        found += [Piece("speed", v, s) for s in shapes if s in FEW for v in others]
    if options or (options is None and "LSTM" in (variants or EVERYWHERE)):
        found += [Piece("options", "LSTM", s) for s in shapes if options or s in FEW]
    return found


def contenders_in(piece: Piece, settings: dict[str, Any], torch: Sequence[str]) -> list[Contender]:
    jits = JITS[settings["jit"]]

    def of_kind(kind: str) -> Iterator[Contender]:
        if piece.what == "speed":
            yield from contenders_of(piece.variant, piece.shape, kind, jits=jits, torch=torch)
            return
        # Nothing is dropped at inference.
        for option in ("", "dropout", "mask") if kind == "step" else ("", "mask"):
            for side in ("klv", "keras"):
                for jit in jits:
                    yield Contender(side, piece.variant, piece.shape, kind, jit, option)

    return [c for kind in kinds_of(settings["kind"]) for c in of_kind(kind)]


def resumed(path: Path, settings: dict[str, Any], where: dict[str, Any]) -> dict[str, Any]:
    """The results to go on with.

    Raises:
        UsageError: they cannot be read, or were measured otherwise or elsewhere.
    """
    try:
        results = json.loads(path.read_text("utf-8"))
        before = {**results["settings"], **_same(results["environment"])}
        list(results["pieces"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"--resume: {str(path)!r} is unreadable: {error}") from error
    now = {**settings, **_same(where)}
    different = [k for k in {*before, *now} if before.get(k) != now.get(k)]
    if different:
        changes = ", ".join(
            f"{k} {before.get(k)!r} there, {now.get(k)!r} here" for k in sorted(different)
        )
        raise UsageError(f"--resume: {str(path)!r} was measured otherwise ({changes})")
    return results


def _same(where: dict[str, Any]) -> dict[str, Any]:
    return {"versions": where["versions"], "machine": where["machine"]}


def write(folder: Path, results: dict[str, Any]) -> None:
    rows = [{"piece": p["name"], **row} for p in results["pieces"] for row in p["rows"]]
    report.write(folder, "speed", results, rows)


def section(results: dict[str, Any]) -> str:
    """The results in Markdown."""
    speed = [p for p in results["pieces"] if p["what"] == "speed"]
    ratios = [r for p in speed for r in report.ratio_rows(p["rows"])]
    parts = [
        "### Geometric means over the shapes\n\n"
        + report.markdown(report.means_table(report.geometric_means(ratios))),
        "### Each shape\n\n" + report.markdown(report.ratios_table(ratios)),
    ]
    options = [p for p in results["pieces"] if p["what"] == "options"]
    if options:
        parts.append(
            "### What dropout and a mask cost\n\nTime with the option over time without.\n\n"
            + report.markdown(options_table([r for p in options for r in p["rows"]]))
        )
    return "\n\n".join(parts)


def options_table(rows: Sequence[Row]) -> report.Table:
    head = ["layer", "shape", "kind", "option", "ms", "ms without", "ratio"]
    names = {"klv": "klv.LSTM", "keras": "keras.layers.LSTM"}
    return head, [
        [
            names[r["side"]],
            report.shape_of(r),
            r["kind"],
            OPTIONS[r["option"]],
            *(report.number(r[k]) for k in ("ms", "ms_without", "ratio")),
        ]
        for r in report.option_rows(rows)
    ]


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--grid", help=f"numbers from 1 to {len(GRID)} or shapes BxTxFxU (default: all)")
    add("--variants", help="names separated by commas, or 'all' (default: see the source)")
    add("--output", default=str(RESULTS), metavar="DIR", help="folder (default: %(default)s)")
    add("--resume", action="store_true", help="keep the finished pieces in the output folder")
    add(
        "--options",
        action=argparse.BooleanOptionalAction,
        help="time dropout and masks at all shapes, or at none (default: at 1 and 3)",
    )
    add_timing_arguments(parser)
    return parser.parse_args(argv)


def grid_of(text: str | None) -> list[Shape]:
    if text is None:
        return list(GRID)
    numbers = {str(k + 1): str(shape) for k, shape in enumerate(GRID)}
    names = [name.strip() for name in text.split(",")]
    return shapes_of([numbers.get(name, name) for name in names], "--grid")


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    where = environment.environment()
    settings = {name: getattr(arguments, name) for name in ("repeats", "kind", "jit", "torch")}
    try:
        check_repeats(arguments.repeats)
        variants = None if arguments.variants is None else variants_of(arguments.variants)
        shapes = grid_of(arguments.grid)
        folder = open_folder(arguments.output)
        results = {"environment": where, "settings": settings, "pieces": []}
        if arguments.resume and (folder / "speed.json").exists():
            results = resumed(folder / "speed.json", settings, where)
    except UsageError as error:
        print(f"speed.py: {error}", file=sys.stderr)
        return 2
    pieces = pieces_of(variants, shapes, arguments.options)
    torch = installed_torch() if arguments.torch else ()
    finished = {p["name"] for p in results["pieces"]}
    try:
        for k, piece in enumerate(pieces):
            head = f"[{k + 1}/{len(pieces)}] {piece.name}"
            if piece.name in finished:
                print(f"{head}: finished already", flush=True)
                continue
            print(f"{head} ...", flush=True)
            start, load = time.monotonic(), environment.load()
            rows = measure(contenders_in(piece, settings, torch), arguments.repeats)
            results["pieces"].append(
                {
                    "name": piece.name,
                    "what": piece.what,
                    "date": environment.now(),
                    "git_commit": environment.git_commit(),
                    "load_before": load,
                    "seconds": round(time.monotonic() - start, 1),
                    "rows": rows,
                }
            )
            write(folder, results)
            table = (
                report.ratios_table(report.ratio_rows(rows))
                if piece.what == "speed"
                else options_table(rows)
            )
            print(report.plain(table), flush=True)
    except BenchError as error:
        print(f"speed.py: {piece.name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            f"Stopped. What is finished is in {str(folder)!r}; --resume goes on.", file=sys.stderr
        )
        return 130
    failed = failures([row for p in results["pieces"] for row in p["rows"]])
    print(*failed, sep="\n", file=sys.stderr) if failed else None
    print(f"Written: {folder / 'speed.csv'}, {folder / 'speed.json'}.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
