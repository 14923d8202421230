"""Messages about trials, of one line each."""

import re
from typing import Any

import keras_tuner

from keras_lstm_variants._cli.tables import number
from keras_lstm_variants.tuning.oracles import COMPLETED


def shown(values: dict[str, Any]) -> str:
    """Settings."""
    kept = {k: v for k, v in values.items() if not k.startswith("tuner/")}
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in kept.items()
    )


def searched(oracle: Any) -> set[str]:
    """Names of the settings that the search chooses: a fixed one says nothing."""
    return {p.name for p in oracle.get_space().space if len(list(p.values)) > 1}


def chosen(oracle: Any, trial: Any) -> str:
    """The searched settings of a trial."""
    free, values = searched(oracle), trial.hyperparameters.values
    return shown({name: value for name, value in values.items() if name in free})


def score_name(oracle: Any) -> str:
    """The score that is reported: the objective, but in the units of the data."""
    return oracle.reported or oracle.objective.name


def score(oracle: Any, trial: Any) -> float:
    """What a completed trial reached, in the units of the data."""
    if not oracle.reported or oracle.reported == oracle.objective.name:
        return float(trial.score)
    (observed,) = trial.metrics.get_history(oracle.reported)
    return float(observed.value[0])


def best_baseline(oracle: Any) -> tuple[str, float] | None:
    """The baseline that is hardest to beat."""
    way = max if oracle.objective.direction == "max" else min
    return way(oracle.baselines.items(), key=lambda b: b[1]) if oracle.baselines else None


def beaten(oracle: Any, trial: Any) -> bool:
    """Whether a trial is better than every baseline."""
    best, mine = best_baseline(oracle), score(oracle, trial)
    if best is None:
        return True
    return mine > best[1] if oracle.objective.direction == "max" else mine < best[1]


def ended(oracle: Any, trial: Any, left: str = "") -> str:
    """How a trial ended; `left` stands before the settings."""
    if trial.status != COMPLETED:
        return f"FAILED: {reason(trial)} ({chosen(oracle, trial)})"
    message = f"{score_name(oracle)} {number(score(oracle, trial))}"
    if (baseline := best_baseline(oracle)) is not None:
        than = "better" if beaten(oracle, trial) else "NO better"
        message += f", {than} than {baseline[0]} {number(baseline[1])}"
    return f"{message}, {best_so_far(oracle)}{left} ({chosen(oracle, trial)})"


def best_so_far(oracle: Any) -> str:
    best = oracle.completed[:1]
    return f"best so far {number(score(oracle, best[0]))}" if best else "no score so far"


def cause(error: BaseException) -> str:
    """One line on what happened, without TensorFlow's traces of graphs."""
    if isinstance(error, keras_tuner.errors.FailedTrialError):
        return str(error).strip().splitlines()[0]
    # Keras prints it in bold.
    lines = [re.sub(r"\x1b\[\d*m", "", line).strip() for line in str(error).splitlines()]
    # What Keras and TensorFlow put around the sentence that matters.
    around = ("Graph execution error", "Detected at", "<stack traces", "Hint:", "File ", "[[")
    around += ("Exception encountered when calling", "Arguments received by")
    sentences = [line for line in lines if line and not line.startswith(around)]
    name = type(error).__name__
    return f"{name}: {sentences[0]}" if sentences else name


def reason(trial: Any) -> str:
    """Why a trial failed, in one line."""
    lines = [line for line in (trial.message or "").splitlines() if line.strip()]
    marked = [
        line.split("FailedTrialError: ", 1)[1] for line in lines if "FailedTrialError: " in line
    ]
    return (marked or lines or ["no reason was given"])[-1].strip()
