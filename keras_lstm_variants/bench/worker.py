"""The process that times contenders of one engine, one run of one of them at a time.

Run as a file, not as a module of the package: the process for torch imports nothing else, and
no TensorFlow. It reads a JSON line for each request and answers with one. A request `do`es:

- "start": takes over `path` (sys.path), `threads` and `modules` (what to import first).
- "add": builds `contender` and runs it for the first time; answers with the `seconds` of
  that, compilation included, or with `absent` if the engine has no such contender.
- "run": runs contender number `index` (in the order in which they were added), a short one
  twice; answers with the `seconds` of the last run.
- "clear": forgets all contenders.

The answer to a request that fails is an `error`, in one line.
"""

import gc
import importlib
import json
import os
import queue
import re
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

# How long a thread of torch may still spin, waiting for work, after a run has ended. The
# next contender should have the cores for itself.
_SPIN_S = {"torch": 0.02}

# A run shorter than this is run once more before it is timed. Threads that sleep since their
# last turn wake up then: in training too, steps follow each other, and on a busy machine
# waking up takes longer than the work.
_SHORT_S = 0.25


class Worker:
    """The contenders of one engine, and what is asked of them."""

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self.functions: dict[str, Any] = {}
        self.runs: list[Callable[[], Any]] = []
        self.last: list[float] = []

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked for."""
        if request["do"] == "start":
            self.start(request)
        elif request["do"] == "add":
            return self.add(request["contender"])
        elif request["do"] == "run":
            return self.run(request["index"])
        elif request["do"] == "clear":
            self.runs.clear()
            self.last.clear()
            self.functions["clear"]()
            gc.collect()
        return {}

    def start(self, request: dict[str, Any]) -> None:
        here = os.path.dirname(os.path.abspath(__file__))
        sys.path[:] = request["path"]
        # By its path: importing it as a part of the package would import TensorFlow.
        self.functions = runpy.run_path(os.path.join(here, f"{self.engine}_worker.py"))
        self.functions["start"](request["threads"])
        if self.engine == "tensorflow":
            for module in request["modules"]:
                importlib.import_module(module)

    def add(self, contender: dict[str, Any]) -> dict[str, Any]:
        run = self.functions["make"](contender)
        if run is None:
            return {"absent": True}
        seconds = self.timed(run)
        self.runs.append(run)
        self.last.append(seconds)
        return {"seconds": seconds}

    def run(self, k: int) -> dict[str, Any]:
        if self.last[k] < _SHORT_S:
            self.runs[k]()
        self.last[k] = self.timed(self.runs[k])
        return {"seconds": self.last[k]}

    def timed(self, run: Callable[[], Any]) -> float:
        start = time.perf_counter()
        run()
        seconds = time.perf_counter() - start
        time.sleep(_SPIN_S.get(self.engine, 0.0))
        return seconds


def serve(engine: str, requests: TextIO, answers: TextIO) -> None:
    """Answer each request; the process ends with the requests."""
    worker = Worker(engine)
    waiting: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in requests:
            waiting.put(line)
        os._exit(1)  # the parent is gone, and nobody waits for what runs

    threading.Thread(target=read, daemon=True).start()
    # Collected between two groups of contenders, and not while one of them is timed.
    gc.disable()
    while True:
        try:
            result = worker.answer(json.loads(waiting.get()))
        except Exception as error:
            result = {"error": one_line(error)}
        try:
            print(json.dumps(result), file=answers, flush=True)
        except BrokenPipeError:  # the parent is gone, and nobody waits for more
            os._exit(1)


def one_line(error: Exception) -> str:
    """What happened. Keras says where in the first line, and what in the second, in bold."""
    text = re.sub(r"\x1b\[\d*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join([f"{type(error).__name__}:", *lines[:2]])


if __name__ == "__main__":
    # Ctrl-C reaches the whole group; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What libraries print must not look like an answer.
    _answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(sys.argv[1], sys.stdin, _answers)
