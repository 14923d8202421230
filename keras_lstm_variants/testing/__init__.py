"""The contract of a cell, for its author: `check_cell` tries what every cell must do."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from keras_lstm_variants.core import checks
from keras_lstm_variants.testing import contract_files  # noqa: F401, adds its checks
from keras_lstm_variants.testing.contract import CHECKS
from keras_lstm_variants.testing.subject import Subject

__all__ = ["CheckResult", "check_cell", "list_checks"]


class CheckResult(NamedTuple):
    """What one check found for one case."""

    check: str
    case: dict[str, Any]
    # "passed", "failed as expected" or "skipped"; the reason that was given, or "".
    status: str
    reason: str


def list_checks() -> dict[str, str]:
    """The names of the checks of `check_cell`, and what each asks of a cell.

    Example:
        >>> import keras_lstm_variants as klv
        >>> klv.testing.list_checks()["rows_alone"]
        'Each row of the batch is computed alone.'
    """
    return {name: (function.__doc__ or "").strip() for name, function in CHECKS.items()}


def check_cell(
    cell_class: type,
    cases: Iterable[Mapping[str, Any]],
    *,
    features: int = 3,
    skip: Mapping[str, str] | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> list[CheckResult]:
    """Try whether a cell keeps the contract, for each of several sets of arguments.

    The layer's results and gradients, in a graph and compiled by XLA, are compared with a loop
    over the cell that is written out; so are masks, directions, parts of sequences, dropout,
    precisions and saved models. `list_checks()` names all checks. What the cell computes is for
    its author to compare with the equations.

    Args:
        cell_class: a subclass of `klv.Cell`, or any cell of Keras. It need not be registered.
        cases: dicts of arguments of the constructor, as `[{"units": 5}, {"units": 4, ...}]`.
        features: positive integer, the number of features of the sequences.
        skip: name of a check -> why it is left out.
        expected_failures: name of a check -> why it fails for now, in every case. It is an error
            if it does not.

    Returns:
        A `CheckResult` (check, case, status, reason) for each check of each case.

    Raises:
        AssertionError: a check failed. The message names each such check, its case and what was
            found.
        ValueError: an argument is not of the form above.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> class LeakyCell(klv.Cell):
        ...     def step(self, x, states, training=False):
        ...         (h,) = states
        ...         h = 0.9 * h + 0.1 * x
        ...         return h, (h,)
        >>> results = klv.testing.check_cell(
        ...     LeakyCell, [{"units": 3}], skip={"dropout": "the state is never dropped"}
        ... )
        >>> sorted({result.status for result in results})
        ['passed', 'skipped']

    In a test, a case each: `@pytest.mark.parametrize("case", CASES)` and
    `klv.testing.check_cell(MyCell, [case])`.
    """
    if not isinstance(cell_class, type) or not callable(getattr(cell_class, "call", None)):
        raise ValueError(f"`cell_class` must be a class of cells. Received: {cell_class!r}")
    features = checks.positive_integer("features", features)
    if isinstance(cases, Mapping | str) or not isinstance(cases, Iterable):
        raise ValueError(f"`cases` must be a list of dicts of arguments. Received: {cases!r}")
    cases = list(cases)
    if not cases or not all(isinstance(case, Mapping) for case in cases):
        raise ValueError(f"`cases` must be a list of dicts of arguments. Received: {cases!r}")
    skip, expected = dict(skip or {}), dict(expected_failures or {})
    for argument, given in (("skip", skip), ("expected_failures", expected)):
        for name, reason in given.items():
            if name not in CHECKS:
                near = checks.nearest(name, list(CHECKS))
                raise ValueError(f"`{argument}` names no check {name!r}{near}")
            if not isinstance(reason, str) or not reason:
                raise ValueError(f"`{argument}` must give a reason. Received: {name}={reason!r}")
    results, failures = [], []
    for case in cases:
        subject = Subject(cell_class, dict(case), features)
        for name, function in CHECKS.items():
            if name in skip:
                results.append(CheckResult(name, dict(case), "skipped", skip[name]))
                continue
            error = _error_of(function, subject)
            if error is None and name in expected:
                error = AssertionError(f"passes, but was to fail: {expected[name]}")
            elif error is not None and name in expected:
                results.append(CheckResult(name, dict(case), "failed as expected", expected[name]))
                continue
            if error is None:
                results.append(CheckResult(name, dict(case), "passed", ""))
            else:
                failures.append((f"{subject}, {name}: {_told(error)}", error))
    if failures:
        text = "\n".join(message for message, _ in failures)
        raise AssertionError(text) from failures[0][1]
    return results


def _error_of(function: Any, subject: Subject) -> Exception | None:
    try:
        function(subject)
    except Exception as error:
        return error
    return None


def _told(error: Exception) -> str:
    """The message of an error; of one that no check has raised, its type as well."""
    text = str(error)
    return text if isinstance(error, AssertionError) else f"{type(error).__name__}: {text}"
