"""A search by several processes: Keras Tuner's chief and workers, watched.

Keras Tuner's chief waits for ever for a trial whose worker is gone. Here workers give signs
of life in the folder of the search, and the chief takes the trial of a lost one back.
"""

import argparse
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_lstm_variants._cli import logs
from keras_lstm_variants._cli.errors import UsageError
from keras_lstm_variants._cli.progress_lines import LiveLines
from keras_lstm_variants._cli.work_folder import LOG
from keras_lstm_variants.backend.replicas import share_gpus
from keras_lstm_variants.core.machine import cores
from keras_lstm_variants.tuning import tensorboard
from keras_lstm_variants.tuning.results import SearchFolder, fit_arguments
from keras_lstm_variants.tuning.settings import Search, tuner_of
from keras_lstm_variants.tuning.tuner import TUNER_ID, SearchError

# Set for workers whose parent holds their standard input: with it they end.
HELD = "KLV_TUNE_HELD"
IP, PORT = "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"
_NOT_HANDED_ON = {"run", "parser", "modules", "workers", "role", "address", "worker_id", "threads"}
_NOT_HANDED_ON |= {"retry", "max_time"}
# How a process ends that was told to: 130 after Ctrl-C, or killed by a signal that asks.
TOLD = {130, *(-getattr(signal, n) for n in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, n))}


def check(arguments: argparse.Namespace) -> None:
    """Raise a `UsageError` unless the options of several processes fit together."""
    if arguments.role and arguments.workers:
        raise UsageError("--workers starts a group of its own: leave --role out")
    if arguments.role and not arguments.address:
        raise UsageError(f"--role {arguments.role} needs --address HOST:PORT, that of the chief")
    if arguments.address is not None and not arguments.role and not arguments.workers:
        raise UsageError("--address goes with --role or --workers")
    if arguments.role == "worker" and (arguments.retry or arguments.max_time is not None):
        raise UsageError("--retry and --max-time are for the chief, not for --role worker")
    if arguments.worker_id is not None and arguments.role != "worker":
        raise UsageError("--worker-id goes with --role worker")
    name = arguments.worker_id
    if name is not None and (not re.fullmatch(r"[\w.@-]{1,100}", name) or "chief" in name):
        raise UsageError(
            "--worker-id must be a name of letters, digits and . @ _ - without 'chief'. "
            f"Received: {name!r}"
        )
    if not 0 < arguments.lost_after < 1e9:
        raise UsageError(
            f"--lost-after must be a number of seconds above 0. Received: {arguments.lost_after}"
        )
    if arguments.address is not None:
        _split(arguments.address)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"--address must be HOST:PORT, as 10.0.0.1:8000. Received: {address!r}")
    return host, int(port)


def needed(arguments: argparse.Namespace) -> bool:
    """Whether this process leads others."""
    return bool(arguments.role == "chief" or arguments.workers)


@contextlib.contextmanager
def environment(arguments: argparse.Namespace) -> Iterator[None]:
    """While active, Keras Tuner's variables say which process of the search this one is."""
    if not arguments.role and not arguments.workers:
        if os.environ.get(IP):
            raise UsageError(
                f"{IP} is set, so Keras Tuner would look for a chief: give --role and --address, "
                "or unset it"
            )
        yield
        return
    if not arguments.address:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            arguments.address = f"127.0.0.1:{free.getsockname()[1]}"
    host, port = _split(arguments.address)
    name = "chief" if arguments.role != "worker" else _worker_id(arguments)
    if name == "chief":
        _check_free(host, port)
    share_gpus()
    values = {IP: host, PORT: str(port), TUNER_ID: name}
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def _check_free(host: str, port: int) -> None:
    try:
        with socket.socket() as there:
            there.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            there.bind((host, port))
    except OSError as error:
        raise UsageError(
            f"--address {host}:{port} cannot be listened on: {error.strerror or error}"
        ) from None


def _worker_id(arguments: argparse.Namespace) -> str:
    # Another one after a restart: the chief then waits until the old one counts as lost.
    return arguments.worker_id or f"{socket.gethostname()}-{os.getpid()}"


# The chief


def lead(search: Search, tuner: Any, lines: LiveLines) -> None:
    """Be the chief until every trial has ended; start and watch `--workers`.

    Raises:
        SearchError: the service failed, or workers die again and again.
    """
    arguments, oracle = search.arguments, tuner.oracle
    if oracle.max_trials and len(oracle.ended) >= oracle.max_trials:
        return
    oracle.spares = True
    failed: list[BaseException] = []

    def serve() -> None:
        try:
            tuner.serve()
        except BaseException as error:
            failed.append(error)

    # A daemon: Keras Tuner's own loop looks only every 20 s whether all is done.
    threading.Thread(target=serve, daemon=True).start()
    if not arguments.workers:
        lines.note(f"Waiting for workers at {arguments.address}.")
    signs = _Signs(Path(arguments.directory) / "workers", arguments.lost_after)
    with _Processes(search, lines, oracle) as processes:
        while not oracle.finished:
            if failed:
                raise SearchError(f"The service at {arguments.address} failed: {failed[0]}")
            if oracle.time_is_up and arguments.workers:
                oracle.interrupt()
                break
            processes.watch()
            for name in signs.lost(oracle.tuner_ids):
                lines.note(f"{name}: no sign of life for {arguments.lost_after:g} s, taken as lost")
                oracle.lose(name)
            time.sleep(0.1)


class _Signs:
    """Signs of life: the chief's clock measures how long a file has not changed."""

    def __init__(self, folder: Path, lost_after: float) -> None:
        self.folder, self.lost_after = folder, lost_after
        self.seen: dict[str, tuple[float, float]] = {}

    def lost(self, names: set[str]) -> list[str]:
        now, lost = time.monotonic(), []
        for name in list(names):
            try:
                sign = (self.folder / f"{name}.alive").stat().st_mtime
            except OSError:
                sign = 0.0
            last, since = self.seen.get(name, (None, now))
            if sign != last:
                self.seen[name] = sign, now
            elif now - since > self.lost_after:
                lost.append(name)
                del self.seen[name]
        return lost


class _Processes:
    """The workers of `--workers`: one that dies is started again."""

    def __init__(self, search: Search, lines: LiveLines, oracle: Any) -> None:
        self.search, self.lines, self.oracle = search, lines, oracle
        self.folder = Path(search.arguments.directory) / "workers"
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.deaths, self.ended = 0, 0

    def __enter__(self) -> "_Processes":
        for k in range(self.search.arguments.workers or 0):
            self._start(f"worker-{k}")
        return self

    def __exit__(self, *_: object) -> None:
        # Those that were told so end by themselves.
        end = time.monotonic() + 5
        for process in self.running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0, end - time.monotonic()) if self.oracle.finished else 0)
            process.kill()
            process.wait()
            process.stdin.close()

    def _start(self, name: str) -> None:
        environment = {**os.environ, HELD: "1"}
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(share_gpus()))))
        if "," in gpus and self.search.arguments.replicas == 1:
            one = gpus.split(",")
            environment["CUDA_VISIBLE_DEVICES"] = one[int(name.split("-")[1]) % len(one)]
        with open(self.folder / f"{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", __package__.split(".")[0], "tune", *self._options(name)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                # Ctrl-C is for us alone.
                start_new_session=True,
            )

    def _options(self, name: str) -> list[str]:
        """Our own options, as a worker gets them."""
        arguments = self.search.arguments
        options = []
        for key, value in vars(arguments).items():
            option = f"--{key.replace('_', '-')}"
            if key in _NOT_HANDED_ON or value is None:
                continue
            if key == "jit":
                options.append("--jit" if value else "--no-jit")
            elif value is True:
                options.append(option)
            elif value is not False:
                options.append(f"{option}={value}")
        options += [f"--import={module}" for module in arguments.modules]
        threads = arguments.threads or max(1, cores() // arguments.workers)
        options += ["--role=worker", f"--address={arguments.address}", f"--worker-id={name}"]
        return [*options, f"--threads={threads}"]

    def watch(self) -> None:
        """Start workers again that died.

        Raises:
            SearchError: they die without bringing a trial to its end.
        """
        if len(self.oracle.ended) > self.ended:
            self.deaths, self.ended = 0, len(self.oracle.ended)
        for name, process in list(self.running.items()):
            code = process.poll()
            if code is None:
                continue
            process.stdin.close()
            del self.running[name]
            if code == 0:  # nothing is left for it
                continue
            self.deaths += 1
            log = self.folder / f"{name}.log"
            if code == 2 or self.deaths > 2 * self.search.arguments.workers + 2:
                lines = log.read_text("utf-8", "replace").strip().splitlines() or [""]
                raise SearchError(f"{name} ended with code {code}, see {str(log)!r}: {lines[-1]}")
            self.lines.note(f"{name}: its process died (exit code {code}); it is started again")
            self.oracle.lose(name, died=code not in TOLD)
            self._start(name)


# A worker


def work(search: Search) -> int:
    """Run trials for a chief until it has no more; returns the exit code."""
    import grpc

    arguments = search.arguments
    if os.environ.get(HELD):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_end_with_parent, daemon=True).start()
    name = arguments.worker_id = _worker_id(arguments)
    store = SearchFolder(arguments.directory)
    _wait_for_chief(store)
    store.check_same(search.identity)
    if logs.redirected():
        logs.send_logs_to(store.folder / LOG)
    lines = LiveLines()

    def on_epoch(trial: Any, epoch: int, logs: dict[str, float]) -> None:
        label = f"{name}: trial {trial.trial_id}"
        lines.printed.setdefault(label, 0.0)
        scores = ", ".join(f"{key} {value:.4g}" for key, value in logs.items())
        lines.update(label, f"{label}: epoch {epoch + 1}, {scores}")

    with environment(arguments), _alive(store.folder / "workers" / f"{name}.alive", arguments):
        lines.note(f"{name}: asks {arguments.address} for trials.")
        tuner = tuner_of(search)
        tuner.on_epoch = on_epoch
        try:
            tuner.search(**fit_arguments(search.data), callbacks=tensorboard.callbacks(search))
        except grpc.RpcError as error:
            raise SearchError(f"No answer from {arguments.address}: {error.details()}") from error
    lines.note(f"{name}: no trial is left.")
    return 0


def _wait_for_chief(store: SearchFolder) -> None:
    end = time.monotonic() + 60
    while not (store.folder / store.main).exists():
        if time.monotonic() > end:
            raise UsageError(
                f"--directory {str(store.folder)!r} holds no search: it must be the folder of the "
                "chief, which all machines share"
            )
        time.sleep(0.2)


def _end_with_parent() -> None:
    # Returns when the parent closes it, or is no more.
    sys.stdin.buffer.read()
    os._exit(1)


@contextlib.contextmanager
def _alive(path: Path, arguments: argparse.Namespace) -> Iterator[None]:
    """Give signs of life while active."""
    over = threading.Event()

    def signs() -> None:
        while True:
            with contextlib.suppress(OSError):
                path.touch()
            if over.wait(min(5.0, arguments.lost_after / 4)):
                return

    thread = threading.Thread(target=signs, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
