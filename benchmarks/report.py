"""Writes RESULTS.md from what speed.py, fits.py, short.py and memory.py wrote.

python benchmarks/report.py [--results benchmarks/results] [--output benchmarks/RESULTS.md]
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import quiet  # noqa: F401, first

# isort: split
import fits
import memory
import short
import speed

from keras_lstm_variants._cli.work_folder import write_atomically

HERE = Path(__file__).parent

_SPEED = """\
All contenders of a table line take turns: in each round every one of them runs once, in an
order that changes, after a first call (tracing and compilation) and two more rounds that do
not count. A slow moment of the machine so hits all of them. A run shorter than a quarter of
a second is run once more just before it is timed. Times are medians over {repeats} rounds, in
milliseconds; a ratio is one median over another, **below 1: ours is faster**.
*klv* is our layer with its default engine, in a function that is not compiled, as in `fit` and
`predict` on a CPU. *best* is the better of all settings: XLA on or off, and our `engine="xla"`.
torch runs in a process of its own, and so does TensorFlow; each has {threads} threads, and
only one of them computes at a time. torch is also timed with one thread, and the better counts.
The default engine is timed as it is in the end: its loops are compiled at their first call here,
and not after the dozens of calls that it counts otherwise; `predict` runs them like that, too.

A *step* is the output of the layer (`return_sequences=True`), half the sum of its squares, and the
gradients of the input and of all weights; nothing is updated. *inference* is the output
alone. Shapes are batch x time x features x units; everything is float32.

- `klv/keras`: beside `keras.layers.LSTM`, or `keras.layers.GRU` for GRU, with Keras's default,
  which is not compiled either; `best keras`: with XLA, where that is faster. Peephole and coupled
  LSTMs have no equal in Keras or torch: there the LSTM is a yardstick, not the same function.
- `klv/torch`: beside `torch.nn.LSTM` or `torch.nn.GRU`.
- `klv/RNN(cell)`: beside `keras.layers.RNN` of the same cell, not compiled.
- `bound/klv` (in the files `floor/klv`): a lower bound divided by our time: the matrix products
  alone, in TensorFlow and in one loop: one for all inputs, one a step for the state, in a training
  step the same back and one for each weight. 1 would be a layer in which all else is free."""

_FITS = """\
Wall time of whole jobs, the first call with its tracing and compilation included. One process for
each run; the contenders take turns; medians of {runs} runs. A model of the layers and a Dense layer
is compiled with Adam and trained, shape {shape} (batch x time x features x units); its input has
an unknown length. *fixed*: batches of one length. *random*: {random_steps} batches of random
lengths, from a fifth of the length to about twice of it. `fit N`: seconds from the start to the
end of step N. `predict`: the first call, over the data of the shortest fit. `of Keras's`: beside
Keras's layer with Keras's defaults, **below 1: faster**."""

_SHORT = """\
A training step of a layer and the time to build a graph, beside Keras's layer. *build*: to trace
a function that calls the layer once and takes the gradients of its weights; *more*: what each
further call of the layer in that function adds. `of Keras's`: **below 1: faster**. Medians of
{rounds} rounds; batch {batch}, {features} features, {units} units, `return_sequences=True`."""

_MEMORY = """\
One process for each measurement. It builds the layer, runs a training step with
{warm_time} time steps, which loads all code, and then two with all of them. The number is how
much the peak of its resident memory (VmHWM, as ru_maxrss) grows by these two, compilation
included; the input is there before. A step computes the gradients of all weights, not of the
input. Median of {runs} processes, shape {shape} (batch x time x features x units). `of
Keras's` is the share of what `keras.layers.LSTM` adds, with the same setting of XLA; for
torch, of Keras's lower one. *sequences*: `return_sequences=True`, loss over all outputs;
*last*: the last output only."""


def about(results: dict[str, Any]) -> str:
    """Who measured where, when, and by which command."""
    where = results["environment"]
    machine, versions = where["machine"], where["versions"]
    commits = [p["git_commit"] for p in results.get("pieces", [])] or [where["git_commit"]]
    loads = [p["load_before"] for p in results.get("pieces", []) if p["load_before"] is not None]
    lines = [
        f"- Command: `python benchmarks/{where['command']}`",
        f"- Machine: {machine['cpu']}, {machine['cores']} cores, {machine['platform']}",
        f"- Versions: {', '.join(f'{name} {v}' for name, v in versions.items())}",
        f"- Begun: {where['date']}",
        f"- Commit: {', '.join(str(c) for c in dict.fromkeys(commits))}"
        " (a plus: with changes that were not committed)",
    ]
    if loads:
        lines.append(
            f"- Load of the machine before each piece: {min(loads):.1f} to {max(loads):.1f}"
        )
    return "\n".join(lines)


def errors(rows: Sequence[dict[str, Any]]) -> str:
    found = [r for r in rows if r["error"]]
    if not found:
        return ""
    return "\n\nFailed:\n\n" + "\n".join(f"- {r['contender']}: {r['error']}" for r in found)


def page(results: dict[str, dict[str, Any]]) -> str:
    """RESULTS.md."""
    parts = [
        "# Results of the benchmarks",
        "Made by `python benchmarks/report.py` from the files in `benchmarks/results`; "
        "not to be edited.",
    ]
    if "speed" in results:
        its = results["speed"]
        rows = [row for piece in its["pieces"] for row in piece["rows"]]
        threads = its["environment"]["machine"]["cores"]
        how = _SPEED.format(repeats=its["settings"]["repeats"], threads=threads)
        parts += ["## Speed", about(its), how, speed.section(its) + errors(rows)]
    if "fits" in results:
        its = results["fits"]
        how = _FITS.format(**its["settings"])
        parts += ["## Whole jobs", about(its), how, fits.section(its) + errors(its["rows"])]
    if "short" in results:
        its = results["short"]
        how = _SHORT.format(**its["settings"])
        parts += ["## Short sequences", about(its), how, short.section(its)]
    if "memory" in results:
        its = results["memory"]
        how = _MEMORY.format(**its["settings"])
        parts += ["## Memory", about(its), how, memory.section(its) + errors(its["rows"])]
    return "\n\n".join(parts) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", default=str(HERE / "results"), metavar="DIR")
    parser.add_argument("--output", default=str(HERE / "RESULTS.md"), metavar="FILE")
    arguments = parser.parse_args(argv)
    results = {}
    try:
        for name in ("speed", "fits", "short", "memory"):
            path = Path(arguments.results) / f"{name}.json"
            if path.exists():
                results[name] = json.loads(path.read_text("utf-8"))
        if not results:
            raise ValueError(
                f"--results {arguments.results!r} has no speed.json, fits.json, short.json "
                "or memory.json"
            )
        write_atomically(Path(arguments.output), page(results).encode())
    except (OSError, ValueError, KeyError) as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 2
    print(f"Written: {arguments.output}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
