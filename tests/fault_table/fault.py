"""What a planted fault is, and tests that many name."""

from typing import NamedTuple


class Fault(NamedTuple):
    """A fault that the tests must catch.

    Attributes:
        name: what goes wrong.
        old: the text that is replaced: it must occur once in the package, wherever it is.
        new: the text in its place.
        tests: arguments of pytest: the tests that are likely to catch it.
        file: the name of its file, where the text alone occurs elsewhere, too.
        missed_by_old_suite: whether the suite before the faults were planted missed it.
    """

    name: str
    old: str
    new: str
    tests: str
    file: str = ""
    missed_by_old_suite: bool = False


EQUATIONS = "tests/test_equations.py::test_outputs_and_states -k "
GRAPH = "tests/test_engine.py::test_equals_keras_in_a_graph -k "
