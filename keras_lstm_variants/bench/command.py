"""`klv bench` from its arguments to its tables."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from keras_lstm_variants import _loading
from keras_lstm_variants._cli.arguments import (
    add_command,
    add_variants,
    variants_of,
    whole_number,
)
from keras_lstm_variants._cli.errors import UsageError, fail
from keras_lstm_variants._cli.work_folder import StoreError, path_of
from keras_lstm_variants.bench import environment, report
from keras_lstm_variants.bench.contenders import (
    KINDS,
    Contender,
    Shape,
    contenders_of,
    installed_torch,
    parse_shape,
)
from keras_lstm_variants.bench.driver import Bench, BenchError, Row
from keras_lstm_variants.core.machine import memory

DEFAULT_VARIANTS = ("LSTM", "GRU")
DEFAULT_SHAPE = "16x100x32x64"

JITS = {"on": (True,), "off": (False,), "both": (False, True)}

_DESCRIPTION = """\
Time layers side by side: ours, Keras's, keras.layers.RNN of the same cell, torch's where it
is installed, and the matrix products alone, a lower bound. They take turns, round after
round, each with all cores; torch also with one thread. A ratio below 1 means that ours is
faster: klv is our layer by default, in a function that is not compiled; best is the best of all
settings.
"""


def add_parser(commands: Any) -> None:
    parser = add_command(
        commands,
        "bench",
        main,
        summary="time layers beside Keras's, torch's and a lower bound",
        description=_DESCRIPTION,
    )
    add_variants(parser, DEFAULT_VARIANTS)
    add = parser.add_argument
    add(
        "--shape",
        dest="shapes",
        action="append",
        metavar="BxTxFxU",
        help=f"batch x time x features x units; may be repeated (default: {DEFAULT_SHAPE})",
    )
    add("--output", metavar="DIR", help="write bench.csv and bench.json into this folder")
    add_timing_arguments(parser)


def add_timing_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that `klv bench` and `benchmarks/speed.py` share."""
    add = parser.add_argument
    add("--repeats", type=int, default=15, metavar="N", help="rounds (default: %(default)s)")
    add(
        "--kind",
        choices=(*KINDS, "both"),
        default="both",
        help="training step (forward, backward) or inference (default: both)",
    )
    add("--jit", choices=tuple(JITS), default="both", help="XLA (default: both)")
    add(
        "--torch",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="beside torch, where it is installed (default)",
    )


def shapes_of(texts: Sequence[str], option: str = "--shape") -> list[Shape]:
    try:
        shapes = list(dict.fromkeys(map(parse_shape, texts)))
    except ValueError as error:
        raise UsageError(f"{option} {error}") from error
    for shape in shapes:
        batch, time, features, units = shape
        # Input, output and their gradients; at least half of a matrix for each, and its gradient.
        least = 8 * batch * time * (features + units) + 4 * units * (features + units)
        if least > memory():
            raise UsageError(
                f"{option} {shape} takes at least {least:,} bytes; this machine has {memory():,}"
            )
    return shapes


def check_repeats(repeats: int, option: str = "--repeats") -> int:
    return whole_number(option, repeats, 1_000_000)


def open_folder(text: str) -> Path:
    """The output folder, made if need be.

    Raises:
        UsageError: it cannot be written to.
    """
    try:
        folder = path_of("--output", text)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except StoreError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(_cannot_write(text, error)) from error
    return folder


def _cannot_write(folder: str, error: OSError) -> str:
    return f"cannot write to --output {folder!r}: {error.strerror or error}"


def kinds_of(text: str) -> tuple[str, ...]:
    return KINDS if text == "both" else (text,)


def groups_of(contenders: Sequence[Contender]) -> dict[str, list[Contender]]:
    """Contenders that are timed against each other, by what they share."""
    groups: dict[str, list[Contender]] = {}
    for contender in contenders:
        groups.setdefault(contender.group, []).append(contender)
    return groups


def measure(
    contenders: Sequence[Contender],
    repeats: int,
    *,
    modules: Sequence[str] = (),
    tell: Callable[[str], None] = lambda line: None,
) -> list[Row]:
    """Rows of all contenders, each timed against the others of its group.

    `tell` receives a line before each group.
    """
    rows: list[Row] = []
    groups = groups_of(contenders)
    with Bench([c.engine for c in contenders], modules=modules) as bench:
        for k, (name, group) in enumerate(groups.items()):
            tell(f"[{k + 1}/{len(groups)}] {name}: {len(group)} contenders")
            rows += bench.measure(group, repeats)
    return rows


def failures(rows: Sequence[Row]) -> list[str]:
    """A line for each contender that failed."""
    return [
        f"FAILED: {r['contender']}, XLA {report.on_off(r['jit'])}, {r['kind']} of "
        f"{report.shape_of(r)}: {r['error']}"
        for r in rows
        if r["error"]
    ]


def show(rows: Sequence[Row], ratios: Sequence[Row], means: Sequence[Row]) -> None:
    """Every group's times, then the ratios, then their means."""
    groups: dict[str, list[Row]] = {}
    for r in rows:
        groups.setdefault(f"{r['variant']} {report.shape_of(r)} {r['kind']}", []).append(r)
    for name, group in groups.items():
        print(f"\n{name}\n{report.plain(report.times_table(group))}")
    print(f"\nRatios of medians\n{report.plain(report.ratios_table(ratios))}")
    print(f"\nGeometric means over the shapes\n{report.plain(report.means_table(means))}")


def main(arguments: argparse.Namespace) -> int:
    """From arguments to the tables; returns the exit code."""
    started, busy = time.monotonic(), environment.busy()
    try:
        variants = variants_of(arguments.variants)
        shapes = shapes_of(arguments.shapes or [DEFAULT_SHAPE])
        repeats = check_repeats(arguments.repeats)
        folder = open_folder(arguments.output) if arguments.output is not None else None
    except UsageError as error:
        return fail("klv bench", str(error))
    _loading.load()
    torch = installed_torch() if arguments.torch else ()
    try:
        rows = measure(
            contenders_in(arguments, variants, shapes, torch),
            repeats,
            modules=arguments.modules,
            tell=lambda line: print(line, file=sys.stderr, flush=True),
        )
    except BenchError as error:
        return fail("klv bench", str(error), 1)
    ratios = report.ratio_rows(rows)
    means = report.geometric_means(ratios)
    show(rows, ratios, means)
    failed = failures(rows)
    for line in failed:
        print(line, file=sys.stderr)
    if busy:
        print(busy)
    if arguments.torch and not torch:
        print("Without torch, which is not installed: pip install 'keras_lstm_variants[bench]'.")
    if folder:
        settings = {
            "variants": variants,
            "shapes": list(map(str, shapes)),
            **{name: getattr(arguments, name) for name in ("repeats", "kind", "jit", "torch")},
        }
        results = {
            "environment": environment.environment(),
            "settings": settings,
            "rows": rows,
            "ratios": ratios,
            "geometric_means": means,
        }
        try:
            report.write(folder, "bench", results, rows)
        except OSError as error:
            return fail("klv bench", _cannot_write(arguments.output, error), 1)
        print(f"\nWritten: {folder / 'bench.csv'}, {folder / 'bench.json'}.")
    print(f"Took {time.monotonic() - started:.0f} s.")
    return 1 if failed else 0


def contenders_in(
    arguments: argparse.Namespace,
    variants: Sequence[str],
    shapes: Sequence[Shape],
    torch: Sequence[str],
) -> list[Contender]:
    """All that the command times, variant by variant."""
    return [
        contender
        for variant in variants
        for shape in shapes
        for kind in kinds_of(arguments.kind)
        for contender in contenders_of(variant, shape, kind, jits=JITS[arguments.jit], torch=torch)
    ]
