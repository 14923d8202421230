"""Peak memory that one training step adds, each measurement in a process of its own.

    python benchmarks/memory.py                       # half an hour on 2 cores
    python benchmarks/memory.py --shape 8x500x32x64 --runs 1

Writes OUTPUT/memory.json and OUTPUT/memory.csv after each contender;
`python benchmarks/report.py` makes RESULTS.md of them.
"""

import argparse
import json
import resource
import runpy
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import child as child_process

RESULTS = Path(__file__).parent / "results"
# Name: where the layer is, and its arguments.
CONTENDERS = {
    "keras.layers.LSTM": ("keras.layers", "LSTM", {}),
    "klv.LSTM": ("keras_lstm_variants", "LSTM", {}),
    "klv.LSTM(recompute=True)": ("keras_lstm_variants", "LSTM", {"recompute": True}),
    "klv.PeepholeLSTM": ("keras_lstm_variants", "PeepholeLSTM", {}),
    "torch.nn.LSTM": ("torch.nn", "LSTM", {}),
}
FORMS = {"sequences": "loss over all outputs", "last": "loss over the last output"}
# Steps of the small training step that loads all code before the large one is measured.
WARM_TIME = 8


# In the child process.


def peak_mb() -> float:
    """The highest resident memory of this process so far.

    `ru_maxrss` is the same number, but begins with what the parent had before.
    """
    try:
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def forget_peak() -> bool:
    """Let the peak begin anew with what is resident now, where the system can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def child(job: dict[str, Any]) -> dict[str, Any]:
    """Growth of the peak by two training steps, in MB, and their seconds."""
    torch = job["contender"].startswith("torch")
    steps = (_torch_steps if torch else _tensorflow_steps)(job)
    warm, full = steps(WARM_TIME), steps(job["shape"][1])
    warm()
    anew = forget_peak()
    before, seconds = peak_mb(), []
    for _ in range(2):
        start = time.perf_counter()
        full()
        seconds.append(time.perf_counter() - start)
    after = peak_mb()
    return {
        "growth_mb": after - before,
        "peak_mb": after,
        "first_step_s": seconds[0],
        "second_step_s": seconds[1],
        "peak_began_anew": anew,
    }


Steps = Callable[[int], Callable[[], Any]]


def _tensorflow_steps(job: dict[str, Any]) -> Steps:
    import importlib

    import numpy as np

    from keras_lstm_variants.backend.threads import limit_threads
    from keras_lstm_variants.backend.timing import training_step
    from keras_lstm_variants.engine import compile_at_once

    limit_threads(job["threads"])
    # Measured is what runs in the end, not the calls after which the default engine compiles.
    compile_at_once()
    module, name, arguments = CONTENDERS[job["contender"]]
    batch, _, features, units = job["shape"]
    sequences = job["form"] == "sequences"
    kind = getattr(importlib.import_module(module), name)
    layer = kind(units, return_sequences=sequences, **arguments)
    layer.build((batch, None, features))

    def steps(length: int) -> Callable[[], Any]:
        x = np.random.default_rng(0).standard_normal((batch, length, features), "float32")
        return training_step(layer, x, job["jit"], input_gradient=False)

    return steps


def _torch_steps(job: dict[str, Any]) -> Steps:
    # By its path and without the package, which would import TensorFlow.

    import torch

    torch.set_num_threads(job["threads"])
    side = runpy.run_path(job["torch_worker"])
    batch, _, features, units = job["shape"]
    layer = torch.nn.LSTM(features, units, batch_first=True)

    def steps(length: int) -> Callable[[], Any]:
        x = torch.randn(batch, length, features)
        last = job["form"] == "last"
        return side["training_step"](layer, x, input_gradient=False, last=last)

    return steps


# In the parent.


def row_of(job: dict[str, Any], found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the runs of one contender."""
    good = [f for f in found if "error" not in f]
    batch, length, features, units = job["shape"]
    row = {
        "contender": job["contender"],
        "jit": job["jit"],
        "form": job["form"],
        "batch": batch,
        "time": length,
        "features": features,
        "units": units,
        "threads": job["threads"],
        "runs": len(good),
    }
    for name in ("growth_mb", "peak_mb", "first_step_s", "second_step_s"):
        values = [f[name] for f in good]
        row[name] = round(statistics.median(values), 4) if values else None
    growth = [f["growth_mb"] for f in good]
    row["growth_min_mb"] = round(min(growth), 4) if growth else None
    row["growth_max_mb"] = round(max(growth), 4) if growth else None
    row["peak_began_anew"] = all(f["peak_began_anew"] for f in good)
    row["error"] = next((f["error"] for f in found if "error" in f), "")
    return row


def table_of(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    from keras_lstm_variants.bench.report import number, on_off

    head = ["form", "contender", "XLA", "MB added", "min", "max", "of Keras's", "second step s"]
    found = []
    for row in rows:
        # Beside Keras with the same setting of XLA; torch has none: beside Keras's lower one.
        theirs = [
            r["growth_mb"]
            for r in rows
            if r["contender"] == "keras.layers.LSTM"
            and r["form"] == row["form"]
            and row["jit"] in (None, r["jit"])
            and r["growth_mb"]
        ]
        ours = row["growth_mb"]
        names = [row["form"], row["contender"], on_off(row["jit"])]
        if ours is None:
            found.append([*names, "FAILED", "", "", "", ""])
            continue
        growth = [number(row[k], 1) for k in ("growth_mb", "growth_min_mb", "growth_max_mb")]
        share = number(ours / min(theirs)) if theirs else "-"
        found.append([*names, *growth, share, number(row["second_step_s"])])
    return head, found


def section(results: dict[str, Any]) -> str:
    """The results in Markdown."""
    from keras_lstm_variants.bench.report import markdown

    return markdown(table_of(results["rows"]))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--shape", default="32x2000x64x256", metavar="BxTxFxU", help="default: %(default)s")
    add("--runs", type=int, default=5, metavar="N", help="processes each (default: %(default)s)")
    add("--contenders", help=f"some of: {'; '.join(CONTENDERS)}, separated by semicolons")
    add("--forms", choices=(*FORMS, "both"), default="both", help="default: both")
    add("--jit", choices=("on", "off", "both"), default="both", help="XLA (default: both)")
    add("--output", default=str(RESULTS), metavar="DIR", help="folder (default: %(default)s)")
    add("--child", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def contenders_named(text: str | None, torch: bool) -> list[str]:
    from keras_lstm_variants._cli.errors import UsageError
    from keras_lstm_variants.core import checks

    if text is None:
        return [name for name in CONTENDERS if torch or not name.startswith("torch")]
    names = [name.strip() for name in text.split(";")]
    for name in names:
        if name not in CONTENDERS:
            raise UsageError(
                f"--contenders must be some of {'; '.join(CONTENDERS)}. "
                f"Received: {name!r}{checks.nearest(name, CONTENDERS)}"
            )
        if name.startswith("torch") and not torch:
            raise UsageError(f"--contenders {name!r}: torch is not installed")
    return names


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    if arguments.child:
        print(json.dumps(child(arguments.child)))
        return 0
    import quiet  # noqa: F401, first

    # isort: split
    from keras_lstm_variants._cli.errors import UsageError
    from keras_lstm_variants.bench import contenders, report, torch_worker
    from keras_lstm_variants.bench.command import JITS, check_repeats, open_folder, shapes_of
    from keras_lstm_variants.bench.environment import environment
    from keras_lstm_variants.core.machine import cores

    try:
        (shape,) = shapes_of([arguments.shape])
        runs = check_repeats(arguments.runs, "--runs")
        torch = "torch" in contenders.installed_torch()
        names = contenders_named(arguments.contenders, torch)
        folder = open_folder(arguments.output)
    except UsageError as error:
        print(f"memory.py: {error}", file=sys.stderr)
        return 2
    jobs = [
        {
            "contender": name,
            "jit": jit,
            "form": form,
            "shape": list(shape),
            "threads": cores(),
            "torch_worker": torch_worker.__file__,
        }
        for form in (FORMS if arguments.forms == "both" else [arguments.forms])
        for name in names
        for jit in ((None,) if name.startswith("torch") else JITS[arguments.jit])
    ]
    settings = {"shape": arguments.shape, "runs": runs, "warm_time": WARM_TIME}
    results = {"environment": environment(), "settings": settings, "rows": []}
    try:
        for k, job in enumerate(jobs):
            about = f"{job['contender']}, XLA {report.on_off(job['jit'])}, {job['form']}"
            print(f"[{k + 1}/{len(jobs)}] {about} ...", flush=True)
            row = row_of(job, [child_process.measure(__file__, job) for _ in range(runs)])
            results["rows"].append(row)
            report.write(folder, "memory", results, results["rows"])
            if row["error"]:
                print(f"FAILED: {about}: {row['error']}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print(f"Stopped. What is finished is in {str(folder)!r}.", file=sys.stderr)
        return 130
    print(report.plain(table_of(results["rows"])))
    print(f"Written: {folder / 'memory.csv'}, {folder / 'memory.json'}.")
    return 1 if any(row["error"] for row in results["rows"]) else 0


if __name__ == "__main__":
    sys.exit(main())
