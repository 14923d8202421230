"""A process that trains runs, one after the other, as it is told through a pipe."""

import importlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from keras_lstm_variants import tasks
from keras_lstm_variants._cli.work_folder import StoreFailure
from keras_lstm_variants.backend.threads import limit_threads
from keras_lstm_variants.compare.settings import Run, Settings
from keras_lstm_variants.compare.store import Store
from keras_lstm_variants.compare.training import train


def end_with_parent() -> None:
    """End this process when its parent does, even if that is killed."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def serve(
    pipe: Connection, settings: Settings, folder: str, threads: int, modules: Sequence[str] = ()
) -> None:
    """Import `modules`, which register variants of their own, and train each `Run`
    that arrives, until None or the end of the pipe does.

    Sends `("progress", run, values)` as the training goes on, then `("done", run, record)`,
    `("failed", run, message)`, or `("lost", run, message)` if the folder cannot be written to.
    A finished run is on disk before it is reported.
    """
    end_with_parent()
    # Ctrl-C reaches the whole group; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit_threads(threads)
    import keras

    for module in modules:
        importlib.import_module(module)

    task = tasks.load(settings.task, text_file=settings.text, split=settings.split)
    store, identity = Store(folder), settings.identity(task.sha256)
    while True:
        try:
            run: Run | None = pipe.recv()
        except EOFError:
            return
        if run is None:
            return

        def report(values: dict[str, Any], run: Run = run) -> None:
            pipe.send(("progress", run, values))

        try:
            model, record = train(run, settings, task, report)
            record["threads"] = threads
            store.save_run(run, record, model, identity)
        except BrokenPipeError:  # the parent is gone, and nobody waits for more
            os._exit(1)
        except StoreFailure as error:
            pipe.send(("lost", run, str(error)))
        except Exception as error:
            message = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            pipe.send(("failed", run, message))
        else:
            pipe.send(("done", run, record))
        keras.backend.clear_session()
