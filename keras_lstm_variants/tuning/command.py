"""`klv tune` from its arguments to the best model."""

import argparse
import contextlib
import signal
from typing import Any

from keras_lstm_variants import _loading
from keras_lstm_variants._cli.arguments import add_command, add_task, add_variants
from keras_lstm_variants._cli.errors import UsageError, fail, in_options
from keras_lstm_variants._cli.work_folder import StoreError, StoreFailure
from keras_lstm_variants.tuning.options import ALGORITHMS, HEADS, PARAMETERS, check

DEFAULT_VARIANTS = ("LSTM", "PeepholeLSTM", "CoupledLSTM", "GRU")

_DESCRIPTION = """\
Search for the variant, sizes and forget bias that suit a task, with Keras Tuner. A parameter
is fixed (--units 64), a list (--units 32,64) or a range (--units 16:128, with a step
--units 16:128:16). The same command continues a search that was stopped or killed; a larger
--max-trials goes on with a finished one. At the end the best model is trained again, scored
on the test split, and saved.
"""

_HELP = {
    "layers": "recurrent layers (default: 1:2)",
    "units": "units of each (default: 16:128)",
    "bidirectional": "yes, no or both (default: no)",
    "dropout": "fraction of the inputs that is dropped (default: 0)",
    "recurrent_dropout": "fraction of the state that is dropped (default: 0)",
    "embedding": "size of the vectors of integers (default: 32)",
    "learning_rate": "of Adam, by order of magnitude (default: 1e-4:1e-2)",
    "clipnorm": "longest gradient, 0 for any (default: 1)",
    "batch_size": "sequences in a batch (default: 32)",
}


def add_parser(commands: Any) -> None:
    parser = add_command(
        commands,
        "tune",
        main,
        summary="search for the best variant, sizes and forget bias",
        description=_DESCRIPTION,
    )
    _add_data(parser.add_argument_group("data"))
    _add_parameters(parser.add_argument_group("what is searched"))
    _add_search(parser.add_argument_group("search"))
    _add_processes(parser.add_argument_group("several processes, machines, devices"))


def _add_data(group: Any) -> None:
    add_task(group)
    add = group.add_argument
    add("--length", type=int, help="steps of the task adding (default: 50)")
    add("--steps", type=int, default=50, help="steps of the sequences a text is cut into")
    add("--data", metavar="FILE.npz", help="arrays x, y, and perhaps mask and split")
    add("--head", help=f"what to predict from --data: {', '.join(HEADS)} (default: by y)")
    add(
        "--no-standardize",
        action="store_true",
        help="leave numbers as they are; by default the model standardises them itself (mean 0, "
        "deviation 1 in the training split), and its inputs and outputs keep your units",
    )


def _add_parameters(group: Any) -> None:
    assert set(_HELP) == set(PARAMETERS)
    add_variants(group, DEFAULT_VARIANTS)
    add = group.add_argument
    add(
        "--forget-bias",
        metavar="B",
        help="numbers, one range, chrono, default, separated by commas; after =, as in "
        "--forget-bias=-1:5,chrono (default: a range by the length, and chrono)",
    )
    add("--max-timesteps", type=int, metavar="T", help="for chrono (default: the length)")
    add("--units-per-layer", action="store_true", help="a number of units for each layer")
    for name, text in _HELP.items():
        add(f"--{name.replace('_', '-')}", metavar="V", help=text)


def _add_search(group: Any) -> None:
    add = group.add_argument
    add("--tuner", choices=ALGORITHMS, default="random", help="default: %(default)s")
    add("--max-trials", type=int, metavar="N", help="default: 20; hyperband, grid: all there are")
    add(
        "--max-time",
        metavar="TIME",
        help="for the trials, as 30m or 2h (s, m, h, d); then the best so far is trained again",
    )
    add("--retry", action="store_true", help="run trials again that have failed")
    add("--epochs", type=int, help="of a trial, the longest with hyperband (default: by task)")
    add("--executions-per-trial", type=int, default=1, metavar="N", help="trainings averaged")
    add("--objective", default="val_loss", help="a score of the model (default: %(default)s)")
    add("--seed", type=int, default=0, help="of settings, weights and batches (default: 0)")
    add("--directory", default="klv_tune", metavar="DIR", help="folder (default: %(default)s)")
    add("--jit", action=argparse.BooleanOptionalAction, help="XLA (default: on a GPU)")
    add("--tensorboard", metavar="DIR", help="learning curves and HParams of every trial")


def _add_processes(group: Any) -> None:
    add = group.add_argument
    add("--workers", type=int, metavar="N", help="start and watch N processes on this machine")
    add("--role", choices=("chief", "worker"), help="one process of a search on many machines")
    add("--address", metavar="HOST:PORT", help="of the chief, for --role")
    add("--worker-id", metavar="NAME", help="the same when a worker is started again")
    add(
        "--lost-after",
        type=float,
        default=120.0,
        metavar="S",
        help="seconds without a sign of life after which a worker counts as lost (default: 120)",
    )
    add("--replicas", type=int, default=1, metavar="N", help="GPUs of a trial, by tf.distribute")
    add("--threads", type=int, metavar="N", help="threads of TensorFlow in each process")


def main(arguments: argparse.Namespace) -> int:
    """From arguments to the best model; returns the exit code."""
    try:
        check(arguments)
    except ValueError as error:
        return fail("klv tune", in_options(str(error)))
    _loading.load()
    from keras_lstm_variants.tuning import session, workers
    from keras_lstm_variants.tuning.settings import read
    from keras_lstm_variants.tuning.tuner import SearchError

    # Schedulers stop with this signal what a person stops with Ctrl-C.
    with contextlib.suppress(ValueError):  # not in the main thread
        for name in ("SIGTERM", "SIGHUP"):  # the second one: a terminal that is closed
            if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_DFL:
                signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        workers.check(arguments)
        search = read(arguments)
        if arguments.role == "worker":
            return workers.work(search)
        return session.run(search)
    except (UsageError, StoreError) as error:
        return fail("klv tune", in_options(str(error)))
    except (SearchError, StoreFailure) as error:
        return fail("klv tune", str(error), 1)
