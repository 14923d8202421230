"""Trains the runs of a comparison in worker processes, several at a time."""

import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from typing import Any

from keras_lstm_variants._cli.work_folder import StoreFailure
from keras_lstm_variants.compare.settings import Run, Settings
from keras_lstm_variants.compare.worker import serve

Listener = Callable[[str, Run, Any], None]


class _Worker:
    def __init__(self, context: Any, *arguments: Any) -> None:
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, *arguments), daemon=True)
        self.process.start()
        theirs.close()
        self.run: Run | None = None

    def give(self, run: Run | None) -> None:
        self.run = run
        self.pipe.send(run)


def train_all(
    runs: Sequence[Run],
    settings: Settings,
    folder: str,
    *,
    jobs: int,
    threads: int,
    listener: Listener,
    modules: Sequence[str] = (),
) -> None:
    """Train all runs; a run that fails, or whose process dies, does not stop the others.

    Args:
        runs: what to train, in this order.
        settings: what they share.
        folder: output folder, where a worker stores each finished run.
        jobs: runs at a time.
        threads: threads of each.
        modules: what each process imports first, for the variants that it registers.
        listener: receives `("start" | "progress" | "done" | "failed", run, value)`.

    Raises:
        StoreFailure: the folder is gone, or the disk full; the rest could not be kept either.
    """
    context = multiprocessing.get_context("spawn")
    arguments = (settings, folder, threads, tuple(modules))
    waiting = list(runs)
    workers: list[_Worker] = []

    def start_next(worker: _Worker) -> None:
        run = waiting.pop(0)
        listener("start", run, None)
        worker.give(run)

    try:
        for _ in range(min(jobs, len(waiting))):
            workers.append(_Worker(context, *arguments))
            start_next(workers[-1])
        while workers:
            ready = wait([w.pipe for w in workers])
            for worker in [w for w in workers if w.pipe in ready]:
                try:
                    kind, run, value = worker.pipe.recv()
                except (EOFError, OSError):
                    worker.process.join()
                    code = worker.process.exitcode
                    listener("failed", worker.run, f"its process died (exit code {code})")
                    workers.remove(worker)
                    if waiting:
                        workers.append(_Worker(context, *arguments))
                        start_next(workers[-1])
                    continue
                if kind == "lost":
                    raise StoreFailure(value)
                listener(kind, run, value)
                if kind == "progress":
                    continue
                if waiting:
                    start_next(worker)
                else:
                    worker.give(None)
                    worker.process.join()
                    workers.remove(worker)
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()
