"""`klv tune` from its arguments to the best model."""

import argparse
import contextlib
import signal
import sys
from typing import Any

from keras_lstm_variants import _loading, tasks
from keras_lstm_variants._folder import StoreError, StoreFailure
from keras_lstm_variants.tuning.options import (
    ALGORITHMS,
    HEADS,
    PARAMETERS,
    UsageError,
    check,
    in_options,
)

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
    parser = commands.add_parser(
        "tune",
        help="search for the best variant, sizes and forget bias",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    data = parser.add_argument_group("data")
    add = data.add_argument
    add("--task", help=f"{', '.join(tasks.TASKS)} (default: docs_text)")
    add("--text", metavar="FILE", help="predict the characters of your own UTF-8 text")
    add("--length", type=int, help="steps of the task adding (default: 50)")
    add("--steps", type=int, default=50, help="steps of the sequences a text is cut into")
    add("--data", metavar="FILE.npz", help="arrays x, y, and perhaps mask and split")
    add("--head", help=f"what to predict from --data: {', '.join(HEADS)} (default: by y)")
    add(
        "--no-standardize",
        action="store_true",
        help="leave numbers as they are; otherwise the model itself makes their mean 0 and their "
        "deviation 1 on the training split, and takes and gives them as they are",
    )
    space = parser.add_argument_group("what is searched")
    add = space.add_argument
    add(
        "--variants",
        default="LSTM,PeepholeLSTM,CoupledLSTM,GRU",
        help="names separated by commas, or 'all' (default: %(default)s)",
    )
    add(
        "--forget-bias",
        metavar="B",
        help="numbers, one range, chrono, default, separated by commas; after =, as in "
        "--forget-bias=-1:5,chrono (default: a range by the length, and chrono)",
    )
    add("--max-timesteps", type=int, metavar="T", help="for chrono (default: the length)")
    add("--units-per-layer", action="store_true", help="units of each layer on their own")
    for name, text in _HELP.items():
        add(f"--{name.replace('_', '-')}", metavar="V", help=text)
    search = parser.add_argument_group("search")
    add = search.add_argument
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
    add("--seed", type=int, default=0)
    add("--directory", default="klv_tune", metavar="DIR", help="folder (default: %(default)s)")
    add("--jit", action=argparse.BooleanOptionalAction, help="XLA (default: on a GPU)")
    add("--tensorboard", metavar="DIR", help="learning curves and HParams of every trial")
    many = parser.add_argument_group("several processes, machines, devices")
    add = many.add_argument
    add("--workers", type=int, metavar="N", help="start and watch N processes on this machine")
    add("--role", choices=("chief", "worker"), help="one process of a search on many machines")
    add("--address", metavar="HOST:PORT", help="of the chief, for --role")
    add("--worker-id", metavar="NAME", help="the same when a worker is started again")
    add(
        "--lost-after",
        type=float,
        default=120.0,
        metavar="S",
        help="seconds without a sign of life after which a worker is lost (default: 120)",
    )
    add("--replicas", type=int, default=1, metavar="N", help="GPUs of a trial, by tf.distribute")
    add("--threads", type=int, metavar="N", help="threads of TensorFlow in each process")
    parser.set_defaults(run=main, parser=parser)
    assert set(_HELP) == set(PARAMETERS)


def fail(message: str, code: int = 2) -> int:
    print(f"klv tune: {in_options(message)}", file=sys.stderr)
    return code


def main(arguments: argparse.Namespace) -> int:
    try:
        check(arguments)
    except ValueError as error:
        return fail(str(error))
    _loading.load()
    from keras_lstm_variants.tuning import group, session
    from keras_lstm_variants.tuning.settings import read
    from keras_lstm_variants.tuning.tuner import SearchError

    # Schedulers stop with this signal what a person stops with Ctrl-C.
    with contextlib.suppress(ValueError):  # not in the main thread
        for name in ("SIGTERM", "SIGHUP"):  # the second one: a terminal that is closed
            if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_DFL:
                signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        group.check(arguments)
        search = read(arguments)
        if arguments.role == "worker":
            return group.work(search)
        return session.run(search)
    except (UsageError, StoreError) as error:
        return fail(str(error))
    except (SearchError, StoreFailure) as error:
        return fail(str(error), 1)
