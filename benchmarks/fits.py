"""Wall time of whole jobs, first call included: `fit` of 20, 200 and 2000 steps, `predict`.

    python benchmarks/fits.py                         # an hour on 2 cores
    python benchmarks/fits.py --steps 20,200 --runs 2 --jobs fixed --forms one

One process for each run; contenders take turns. Writes OUTPUT/fits.json and OUTPUT/fits.csv
after each round; `python benchmarks/report.py` makes RESULTS.md of them.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import child as child_process

RESULTS = Path(__file__).parent / "results"
# Name: where the layer is, its arguments, and those of `compile`.
CONTENDERS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "keras": ("keras.layers", {}, {}),
    "keras, jit_compile=True": ("keras.layers", {}, {"jit_compile": True}),
    "klv": ("keras_lstm_variants", {}, {}),
    'klv, engine="xla"': ("keras_lstm_variants", {"engine": "xla"}, {}),
    "klv, jit_compile=True": ("keras_lstm_variants", {}, {"jit_compile": True}),
    "torch": ("torch.nn", {}, {}),
}
# What is trained: how many layers, whether in both directions.
FORMS = {"one": (1, False), "two": (2, False), "three": (3, False), "bidirectional": (1, True)}
JOBS = {
    "fixed": "batches of one length",
    "random": "a random length for each batch, from a fifth of the length to about twice of it",
}


# In the child process.


def child(job: dict[str, Any]) -> dict[str, Any]:
    """Seconds from the start of `fit` to some of its steps, and of the first `predict`."""
    return (_torch if job["contender"] == "torch" else _keras)(job)


def batches(job: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """x (batch, time, features) and y (batch, 1), for ever."""
    import numpy as np

    random = np.random.default_rng(0)
    batch, length, features, _ = job["shape"]
    while True:
        steps = length
        if job["job"] == "random":
            steps = int(random.integers(length // 5, 2 * length + length // 5))
        x = random.standard_normal((batch, steps, features), "float32")
        yield x, x[:, :, 0].mean(1, keepdims=True)


def _keras(job: dict[str, Any]) -> dict[str, Any]:
    import importlib

    import keras
    import numpy as np
    import tensorflow as tf

    from keras_lstm_variants.backend.threads import limit_threads

    limit_threads(job["threads"])
    module, arguments, compiling = CONTENDERS[job["contender"]]
    kind = getattr(importlib.import_module(module), job["layer"])
    batch, _, features, units = job["shape"]
    count, both = FORMS[job["form"]]
    layers: list[Any] = []
    for k in range(count):
        layer = kind(units, return_sequences=k < count - 1, **arguments)
        layers.append(keras.layers.Bidirectional(layer) if both else layer)
    fixed, total = job["job"] == "fixed", max(job["steps"])
    model = keras.Sequential([keras.Input((None, features)), *layers, keras.layers.Dense(1)])
    source = batches(job)
    if fixed:
        # As most have them: arrays, of which an epoch takes a part again and again.
        x, y = map(
            np.concatenate, zip(*(next(source) for _ in range(min(job["steps"]))), strict=True)
        )
        data = (
            tf.data.Dataset.from_tensor_slices((x, y)).repeat().batch(batch, drop_remainder=False)
        )
    else:
        pairs = [next(source) for _ in range(total)]
        signature = (
            tf.TensorSpec((None, None, features), tf.float32),
            tf.TensorSpec((None, 1), tf.float32),
        )
        data = tf.data.Dataset.from_generator(lambda: iter(pairs), output_signature=signature)
    marks: dict[str, float] = {}

    class Marks(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch + 1 in job["steps"]:
                marks[f"fit_{batch + 1}_s"] = time.perf_counter() - start

    start = time.perf_counter()
    model.compile("adam", "mse", **compiling)
    model.fit(data, steps_per_epoch=total, verbose=0, callbacks=[Marks()])
    if fixed:
        start = time.perf_counter()
        model.predict(x, batch_size=batch, verbose=0)
        marks["predict_s"] = time.perf_counter() - start
    return marks


def _torch(job: dict[str, Any]) -> dict[str, Any]:
    import torch

    torch.set_num_threads(job["threads"])
    _, _, features, units = job["shape"]
    count, both = FORMS[job["form"]]
    layer = getattr(torch.nn, job["layer"])(
        features, units, num_layers=count, batch_first=True, bidirectional=both
    )
    head = torch.nn.Linear(units * (1 + both), 1)
    optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()])
    source, fixed = batches(job), job["job"] == "fixed"
    few = [next(source) for _ in range(min(job["steps"]) if fixed else max(job["steps"]))]
    pairs = [tuple(map(torch.from_numpy, pair)) for pair in few]
    marks, start = {}, time.perf_counter()
    for k in range(max(job["steps"])):
        x, y = pairs[k % len(pairs)]
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(head(layer(x)[0][:, -1]), y)
        loss.backward()
        optimizer.step()
        if k + 1 in job["steps"]:
            marks[f"fit_{k + 1}_s"] = time.perf_counter() - start
    if fixed:
        start = time.perf_counter()
        with torch.no_grad():
            for x, _ in pairs:
                head(layer(x)[0][:, -1])
        marks["predict_s"] = time.perf_counter() - start
    return marks


# In the parent.


def row_of(job: dict[str, Any], found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the runs of one contender."""
    good = [f for f in found if "error" not in f]
    names = [*(f"fit_{n}_s" for n in job["steps"]), "predict_s"]
    row = {k: job[k] for k in ("contender", "layer", "form", "job", "threads")}
    row |= {"shape": "x".join(map(str, job["shape"])), "runs": len(good)}
    for name in names:
        values = [f[name] for f in good if name in f]
        row[name] = round(statistics.median(values), 4) if values else None
    return row | {"error": next((f["error"] for f in found if "error" in f), "")}


def table_of(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    from keras_lstm_variants.bench.report import number

    timed = list(dict.fromkeys(k for row in rows for k in row if k.endswith("_s")))
    head = ["layers", "lengths", "contender"]
    for name in timed:
        what = name.removesuffix("_s").replace("_", " ")
        head += [f"{what}: s", "of Keras's"]
    found = []
    for row in rows:
        cells = [f"{row['form']} {row['layer']}", row["job"], row["contender"]]
        same = ("layer", "form", "job")
        (theirs,) = [
            r for r in rows if r["contender"] == "keras" and all(r[k] == row[k] for k in same)
        ] or [{}]
        for name in timed:
            ours, keras = row.get(name), theirs.get(name)
            cells.append("-" if ours is None else number(ours))
            cells.append(number(ours / keras) if ours and keras else "-")
        found.append(cells)
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
    add("--shape", default="32x100x16x64", metavar="BxTxFxU", help="default: %(default)s")
    add("--steps", default="20,200,2000", metavar="N,N", help="default: %(default)s")
    add("--random-steps", type=int, default=300, metavar="N", help="default: %(default)s")
    add("--layer", choices=("LSTM", "GRU"), default="LSTM", help="default: %(default)s")
    add("--forms", default=",".join(FORMS), help="default: %(default)s")
    add("--jobs", default=",".join(JOBS), help="default: %(default)s")
    add("--contenders", help=f"some of: {'; '.join(CONTENDERS)}, separated by semicolons")
    add("--runs", type=int, default=3, metavar="N", help="processes each (default: %(default)s)")
    add("--output", default=str(RESULTS), metavar="DIR", help="folder (default: %(default)s)")
    add("--child", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def chosen(option: str, text: str | None, among: Iterable[str], separator: str) -> list[str]:
    from keras_lstm_variants._cli.errors import UsageError
    from keras_lstm_variants.core import checks

    names = [name.strip() for name in text.split(separator)] if text else list(among)
    for name in names:
        if name not in among:
            raise UsageError(
                f"{option} must be some of {f'{separator} '.join(among)}. "
                f"Received: {name!r}{checks.nearest(name, among)}"
            )
    return names


def jobs_of(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    from keras_lstm_variants._cli.errors import UsageError
    from keras_lstm_variants.bench import contenders
    from keras_lstm_variants.bench.command import check_repeats, shapes_of
    from keras_lstm_variants.core.machine import cores

    (shape,) = shapes_of([arguments.shape])
    try:
        steps = sorted(check_repeats(int(n), "--steps") for n in arguments.steps.split(","))
    except ValueError as error:
        raise UsageError(f"--steps must be whole numbers. Received: {arguments.steps!r}") from error
    names = chosen("--contenders", arguments.contenders, CONTENDERS, ";")
    if "torch" in names and "torch" not in contenders.installed_torch():
        if arguments.contenders:
            raise UsageError("--contenders 'torch': torch is not installed")
        names.remove("torch")
    few = [check_repeats(arguments.random_steps, "--random-steps")]
    return [
        {
            "contender": name,
            "layer": arguments.layer,
            "form": form,
            "job": job,
            "steps": steps if job == "fixed" else few,
            "shape": list(shape),
            "threads": cores(),
        }
        for form in chosen("--forms", arguments.forms, FORMS, ",")
        for job in chosen("--jobs", arguments.jobs, JOBS, ",")
        for name in names
    ]


def run_rounds(
    jobs: Sequence[dict[str, Any]], runs: int, write: Callable[[list[dict[str, Any]]], None]
) -> list[dict[str, Any]]:
    found: list[list[dict[str, Any]]] = [[] for _ in jobs]
    for turn in range(runs):
        for k, job in enumerate(jobs):
            about = f"{job['contender']}, {job['form']}, {job['job']}"
            print(f"[{turn + 1}/{runs}, {k + 1}/{len(jobs)}] {about} ...", flush=True)
            found[k].append(child_process.measure(__file__, job))
            if "error" in found[k][-1]:
                print(f"FAILED: {about}: {found[k][-1]['error']}", file=sys.stderr, flush=True)
        rows = [row_of(job, f) for job, f in zip(jobs, found, strict=True)]
        columns = list(dict.fromkeys(k for row in rows for k in row if k != "error"))
        rows = [{k: row.get(k) for k in (*columns, "error")} for row in rows]
        write(rows)
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    if arguments.child:
        print(json.dumps(child(arguments.child)))
        return 0
    import quiet  # noqa: F401, first

    # isort: split
    from keras_lstm_variants._cli.errors import UsageError
    from keras_lstm_variants.bench import report
    from keras_lstm_variants.bench.command import check_repeats, open_folder
    from keras_lstm_variants.bench.environment import environment

    try:
        jobs = jobs_of(arguments)
        runs = check_repeats(arguments.runs, "--runs")
        folder = open_folder(arguments.output)
    except UsageError as error:
        print(f"fits.py: {error}", file=sys.stderr)
        return 2
    settings = {"shape": arguments.shape, "runs": runs, "random_steps": arguments.random_steps}
    results = {"environment": environment(), "settings": settings, "rows": []}

    def write(rows: list[dict[str, Any]]) -> None:
        results["rows"] = rows
        report.write(folder, "fits", results, rows)

    try:
        rows = run_rounds(jobs, runs, write)
    except KeyboardInterrupt:
        print(f"Stopped. What is finished is in {str(folder)!r}.", file=sys.stderr)
        return 130
    print(report.plain(table_of(rows)))
    print(f"Written: {folder / 'fits.csv'}, {folder / 'fits.json'}.")
    return 1 if any(row["error"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
