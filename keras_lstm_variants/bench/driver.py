"""Times contenders in turn, each in the process of its engine, and sums the times up."""

import contextlib
import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from keras_lstm_variants.bench.contenders import Contender
from keras_lstm_variants.core.machine import cores

# Of a row, and of the CSV files.
COLUMNS = (
    "variant",
    "batch",
    "time",
    "features",
    "units",
    "kind",
    "option",
    "side",
    "contender",
    "jit",
    "repeats",
    "threads",
    "first_call_s",
    "median_ms",
    "min_ms",
    "quartile1_ms",
    "quartile3_ms",
    "max_ms",
    "error",
)

Row = dict[str, Any]


class BenchError(RuntimeError):
    """The benchmark cannot go on; the message is one line for the user."""


class Worker:
    """A process that times the contenders of one engine."""

    def __init__(self, engine: str, threads: int, modules: Sequence[str]) -> None:
        self.engine = engine
        file = Path(__file__).with_name("worker.py")
        # A fresh interpreter, and without this folder on its path: torch gets a process
        # that has never seen TensorFlow.
        self.notes = tempfile.TemporaryFile()  # noqa: SIM115, open as long as the process
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(file), engine],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.notes,
            text=True,
        )
        self.request = {
            "do": "start",
            "path": sys.path,
            "threads": threads,
            "modules": list(modules),
        }

    def start(self) -> None:
        answer = self.ask(self.request)
        if "error" in answer:
            raise BenchError(f"the {self.engine} process did not start: {answer['error']}")

    def ask(self, request: dict[str, Any], about: str = "") -> dict[str, Any]:
        line = ""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            doing = f" while it timed {about}" if about else ""
            self.notes.seek(0)
            notes = self.notes.read().decode(errors="replace").strip().splitlines()
            last = f": {notes[-1]}" if notes else ""
            raise BenchError(f"the {self.engine} process died{doing} (exit code {code}){last}")
        return json.loads(line)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.notes.close()


class Bench:
    """A process for each engine, as long as the `with` block lasts.

    Only one of them computes at a time, and each has all cores.

    Args:
        engines: of "tensorflow" and "torch".
        modules: what the TensorFlow process imports first, for the variants it registers.
        threads: threads of each; None: as many as there are cores for this process.
    """

    def __init__(
        self, engines: Iterable[str], *, modules: Sequence[str] = (), threads: int | None = None
    ) -> None:
        self.engines, self.modules = list(dict.fromkeys(engines)), modules
        self.threads = threads or cores()
        self.workers: dict[str, Worker] = {}

    def __enter__(self) -> "Bench":
        try:
            for engine in self.engines:
                self.workers[engine] = Worker(engine, self.threads, self.modules)
            for worker in self.workers.values():
                worker.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: Any) -> None:
        for worker in self.workers.values():
            worker.stop()
        self.workers.clear()

    def measure(
        self,
        contenders: Sequence[Contender],
        repeats: int,
        *,
        warm_ups: int = 2,
    ) -> list[Row]:
        """Time contenders in rounds in which each of them runs once.

        A slow moment of the machine then hits all of them, not one.

        Args:
            contenders: what to time.
            repeats: how many rounds count.
            warm_ups: how many rounds before, besides the first call, do not.

        Returns:
            A row for each contender that exists; one that failed has an `error`.
        """
        rows: dict[Contender, Row] = {}
        places: dict[Contender, int] = {}
        added = dict.fromkeys(self.workers, 0)
        for contender in contenders:
            answer = self._ask(contender, {"do": "add", "contender": contender.message()})
            if "absent" in answer:
                continue
            rows[contender] = self._row(contender, repeats, answer)
            if "error" not in answer:
                places[contender] = added[contender.engine]
                added[contender.engine] += 1
        times: dict[Contender, list[float]] = {c: [] for c in places}
        for k in range(warm_ups + repeats):
            for contender in turns(list(places), k):
                answer = self._ask(contender, {"do": "run", "index": places[contender]})
                if "error" in answer:
                    raise BenchError(f"{label(contender)}: {answer['error']}")
                if k >= warm_ups:
                    times[contender].append(1000 * answer["seconds"])
        for worker in self.workers.values():
            worker.ask({"do": "clear"})
        for contender, values in times.items():
            rows[contender].update(summary(values))
        return list(rows.values())

    def _ask(self, contender: Contender, request: dict[str, Any]) -> dict[str, Any]:
        return self.workers[contender.engine].ask(request, label(contender))

    def _row(self, contender: Contender, repeats: int, first: dict[str, Any]) -> Row:
        seconds = first.get("seconds")
        values = {
            **dataclasses.asdict(contender),
            **contender.shape._asdict(),
            "contender": contender.name,
            "repeats": repeats,
            "threads": contender.threads or self.threads,
            "first_call_s": None if seconds is None else round(seconds, 4),
            "error": first.get("error", ""),
        }
        return {name: values.get(name) for name in COLUMNS}


def turns(contenders: list[Contender], k: int) -> list[Contender]:
    """The order of round k: forwards and backwards in turn, and each time another begins.

    So no contender always runs right after the same one.
    """
    n = k // 2 % len(contenders) if contenders else 0
    order = contenders[n:] + contenders[:n]
    return order[::-1] if k % 2 else order


def summary(times: Sequence[float]) -> dict[str, float]:
    """Median, extremes and quartiles."""
    low, middle, high = (
        statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else 3 * [times[0]]
    )
    times_ms = {
        "median_ms": middle,
        "min_ms": min(times),
        "quartile1_ms": low,
        "quartile3_ms": high,
        "max_ms": max(times),
    }
    return {name: round(value, 4) for name, value in times_ms.items()}


def label(contender: Contender) -> str:
    jit = {None: "", False: ", XLA off", True: ", XLA on"}[contender.jit]
    return f"{contender.name}{jit}, {contender.kind} of {contender.shape}"
