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


def serve(engine: str, requests: TextIO, answers: TextIO) -> None:
    """Answer each request; the process ends with the requests."""
    here = os.path.dirname(os.path.abspath(__file__))
    side: dict[str, Any] = {}
    runs: list[Callable[[], Any]] = []
    last: list[float] = []

    def timed(run: Callable[[], Any]) -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    def rest() -> None:
        time.sleep(_SPIN_S.get(engine, 0.0))

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "start":
            sys.path[:] = request["path"]
            # By its path: importing it as a part of the package would import TensorFlow.
            side.update(runpy.run_path(os.path.join(here, f"{engine}_side.py")))
            side["start"](request["threads"])
            if engine == "tensorflow":
                for module in request["modules"]:
                    importlib.import_module(module)
        elif request["do"] == "add":
            run = side["make"](request["contender"])
            if run is None:
                return {"absent": True}
            seconds = timed(run)
            runs.append(run)
            last.append(seconds)
            rest()
            return {"seconds": seconds}
        elif request["do"] == "run":
            k = request["index"]
            if last[k] < _SHORT_S:
                runs[k]()
            last[k] = timed(runs[k])
            rest()
            return {"seconds": last[k]}
        elif request["do"] == "clear":
            runs.clear()
            last.clear()
            side["clear"]()
            gc.collect()
        return {}

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
            found = answer(json.loads(waiting.get()))
        except Exception as error:
            found = {"error": one_line(error)}
        try:
            print(json.dumps(found), file=answers, flush=True)
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
