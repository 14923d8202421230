"""Which cases are quick: of several that are dear, one alone is in `pytest -m "not slow"`."""

import pytest


def quick_first(parametrize: pytest.MarkDecorator, quick: int = 0) -> pytest.MarkDecorator:
    """The same cases, of which all but one are slow."""
    names, values = parametrize.args
    several = not isinstance(names, str) or "," in names

    def case(k, value):
        slow = [] if k == quick else [pytest.mark.slow]
        if hasattr(value, "marks"):
            return pytest.param(*value.values, id=value.id, marks=[*value.marks, *slow])
        return pytest.param(*(value if several else (value,)), marks=slow)

    cases = [case(k, value) for k, value in enumerate(values)]
    return pytest.mark.parametrize(names, cases, **parametrize.kwargs)
