"""From a checked search to its tuner."""

from typing import Any

from keras_lstm_variants.engine.replicas import mirrored
from keras_lstm_variants.engine.threads import limit_threads
from keras_lstm_variants.tuning.settings import Search, UsageError
from keras_lstm_variants.tuning.tuner import make_tuner


def tuner_of(search: Search) -> Any:
    """The tuner, with what is in the folder already.

    Raises:
        UsageError: the tuner lacks a package, the grid is too large, the devices are too few.
    """
    arguments = search.arguments
    try:
        if arguments.threads is not None:
            limit_threads(arguments.threads)
        strategy = mirrored(arguments.replicas) if arguments.replicas > 1 else None
        return make_tuner(
            arguments.tuner,
            search.hypermodel,
            directory=arguments.directory,
            objective=search.hypermodel.objective(arguments.objective),
            max_trials=search.max_trials,
            epochs=search.epochs,
            executions_per_trial=arguments.executions_per_trial,
            seed=arguments.seed,
            distribution_strategy=strategy,
        )
    except ImportError as error:
        raise UsageError(
            f"--tuner {arguments.tuner} needs scikit-learn: pip install "
            f"'keras_lstm_variants[bayesian]' ({str(error).splitlines()[0]})"
        ) from None
    except ValueError as error:
        raise UsageError(str(error)) from None
