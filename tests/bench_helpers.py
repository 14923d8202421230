"""What the tests of `klv bench` and of the benchmarks share."""

from keras_lstm_variants.bench import driver
from keras_lstm_variants.bench.contenders import Shape

SHAPE = Shape(2, 4, 3, 5)


def row(side, median, *, jit=False, variant="LSTM", kind="step", batch=2, option=""):
    values = {"variant": variant, "kind": kind, "side": side, "contender": side, "jit": jit}
    shape = SHAPE._replace(batch=batch)._asdict()
    found = {**dict.fromkeys(driver.COLUMNS), **values, **shape, "option": option, "error": ""}
    return {**found, "median_ms": median}
