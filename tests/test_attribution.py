"""What moved an output: against known answers, completeness, and states that stay."""

import threading

import keras
import numpy as np
import pytest
from cases import BATCH, FEATURES, MASK, TIME, UNITS, assert_close, make, randomize, sequences
from keras import ops

import keras_lstm_variants as klv


def model_of():
    inputs = keras.Input((None, FEATURES))
    y = klv.LSTM(UNITS)(inputs)
    return randomize(keras.Model(inputs, keras.layers.Dense(2)(y)))


def test_a_linear_model_is_explained_exactly():
    inputs = keras.Input((TIME, FEATURES))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))
    x = sequences()
    weights = model.get_weights()[0][:, 1].reshape(TIME, FEATURES)
    for method in ("integrated_gradients", "gradient_x_input"):
        found = klv.attribution(model, x, 1, method=method)
        assert_close(found.values, x * weights, 1e-6)
    base = np.ones((1, TIME, FEATURES), "float32")
    found = klv.attribution(model, x, 1, baseline=base, steps=2)
    assert_close(found.values, (x - base) * weights, 1e-6)
    assert_close(found.baseline_output, np.repeat(model(base)[:, 1], BATCH), 1e-6)


@pytest.mark.slow
def test_it_is_complete():
    model, x = model_of(), sequences()
    coarse, fine = (klv.attribution(model, x, 0, steps=n, max_steps=n) for n in (4, 256))
    assert np.max(np.abs(fine.gap)) < 1e-4 < np.max(np.abs(coarse.gap))
    assert_close(fine.output, model(x)[:, 0], 1e-6)
    assert_close(fine.values.sum((1, 2)), fine.output - fine.baseline_output, 1e-3)


class Along(keras.layers.Layer):
    """A function of a weighted sum of x."""

    def __init__(self, function):
        super().__init__(dtype="float64")
        self.function = function

    def call(self, x):
        return self.function(ops.sum(x * WEIGHTS, axis=(1, 2)))[:, None]


def wave():
    """What goes up and down on the way from zero."""
    return Along(lambda a: ops.sin(a * 40) / (1 + a * a) + a)


WEIGHTS = np.arange(1.0, 7.0).reshape(1, 2, 3) / 10
# A way of its own length for each row: one that a few steps do, and some that they do not.
WAVES = np.array([0.001, 0.5, 1.0, 2.0])[:, None, None] * np.ones((1, 2, 3))


def shares(x, output, first):
    """Where a number depends on a weighted sum alone, each has its share of the difference."""
    parts = x * WEIGHTS
    return parts / parts.sum((1, 2), keepdims=True) * (output - first)[:, None, None]


def test_steps_are_refined_where_the_sum_is_wrong():
    layer, options = wave(), {"steps": 16}
    said = r"more than 5 % in 3 of 4 rows, in row \d by .*with up to 16 steps"
    with pytest.warns(UserWarning, match=said):
        coarse = klv.attribution(layer, WAVES, max_steps=16, **options)
    found = klv.attribution(layer, WAVES, max_steps=256, tolerance=0.01, **options)
    difference = np.abs(found.output - found.baseline_output)
    assert np.all(np.abs(coarse.gap)[1:] > 0.05 * difference[1:])
    assert np.all(np.abs(found.gap) <= 0.01 * difference)
    expected = shares(WAVES, found.output, found.baseline_output)
    np.testing.assert_allclose(found.values, expected, rtol=0.02)
    np.testing.assert_allclose(found.values.sum((1, 2)) - found.gap, expected.sum((1, 2)))
    # As many parts of one length are further off.
    step, few = Along(lambda a: ops.sigmoid(300 * (a - 0.3))), {"max_steps": 48, "tolerance": 1e-6}
    with pytest.warns(UserWarning, match="more than 0.0001 %"):
        even = klv.attribution(step, WAVES, steps=48, **few)
    with pytest.warns(UserWarning, match="more than 0.0001 %"):
        some = klv.attribution(step, WAVES, steps=16, **few)
    assert np.abs(some.gap).max() < 0.1 * np.abs(even.gap).max()


@pytest.mark.slow
def test_expected_gradients_are_the_mean_over_baselines():
    rows = np.stack([0 * WAVES[0], 0.5 * WAVES[1]])
    layer, options = wave(), {"method": "expected_gradients", "baseline": rows}
    x = WAVES[2:]
    one = klv.attribution(layer, x, seed=1, steps=500, max_steps=500, **options)
    first = np.asarray(layer(rows))[:, 0]
    assert_close(one.baseline_output, np.full(2, first.mean()), 1e-12)
    parts = [shares(x - b, one.output, f) for b, f in zip(rows, first, strict=True)]
    assert_close(one.values, np.mean(parts, axis=0), 0.05)
    few = {"steps": 4, "max_steps": 4, "tolerance": 99} | options
    found = [klv.attribution(layer, x, seed=seed, **few).values for seed in (1, 1, 2)]
    assert_close(found[0], found[1], 0)
    assert np.any(found[1] != found[2])
    with pytest.warns(UserWarning, match="They are a sample"):
        klv.attribution(layer, WAVES, seed=0, steps=2, max_steps=4, **options)


def test_occlusion_hides_one_number_at_a_time():
    layer = wave()
    found = klv.attribution(layer, WAVES, method="occlusion", baseline=0.25)
    hidden = WAVES.copy()
    hidden[:, 1, 2] = 0.25
    assert_close(found.values[:, 1, 2], np.asarray(layer(WAVES) - layer(hidden))[:, 0], 1e-12)
    assert found.gap is found.baseline_output is None and found.values.shape == WAVES.shape
    layer = make("LSTM", {"return_sequences": True})
    found = klv.attribution(layer, sequences(), (2, 0), method="occlusion", mask=MASK)
    assert not found.values[:, 3:].any() and not found.values[~MASK].any()
    assert found.values[:, :3][MASK[:, :3]].any()


@pytest.mark.slow
def test_numbers_of_python_are_as_good():
    model, x = model_of(), sequences("float64")
    found = klv.attribution(model, x, 0, steps=256)
    assert_close(found.values, klv.attribution(model, sequences(), 0, steps=256).values, 1e-5)
    assert np.max(np.abs(found.gap)) < 1e-4


def test_gradient_x_input_against_differences():
    layer, x = make("LSTM", dtype="float64"), sequences("float64")
    found = klv.attribution(layer, x, 2, method="gradient_x_input")
    step = np.zeros_like(x)
    step[:, 1, 2] = 1e-6
    slope = (np.asarray(layer(x + step)) - np.asarray(layer(x - step)))[:, 2] / 2e-6
    assert_close(found.values[:, 1, 2], slope * x[:, 1, 2], 1e-7)
    assert found.gap is found.baseline_output is None


@pytest.mark.slow
def test_compiled_by_xla_and_models_that_run_eagerly():
    model, x = model_of(), sequences()
    found, compiled = (
        klv.attribution(model, x, 0, steps=2, tolerance=99, jit_compile=jit).values
        for jit in (False, True)
    )
    assert_close(compiled, found, 1e-5)

    class Looking(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = model

        def call(self, x):
            assert float(ops.sum(x)) is not None
            return self.inner(x)

    looking = Looking()
    looking.compile("adam", "mse", run_eagerly=True)
    looking(x)
    found = klv.attribution(looking, x, 0, method="gradient_x_input", training=False)
    assert_close(found.values, klv.attribution(model, x, 0, method="gradient_x_input").values, 1e-6)


def test_masked_steps_moved_nothing():
    layer = make("GRU")
    found = klv.attribution(layer, sequences(), 0, mask=MASK)
    assert not found.values[~MASK].any()
    assert found.values[MASK].any()


@pytest.mark.slow
def test_tokens_beside_another_thread():
    tokens = keras.Input((None,), dtype="int32")
    embedding = keras.layers.Embedding(9, FEATURES)
    model = keras.Model(tokens, klv.LSTM(UNITS)(embedding(tokens)))
    x, stop, errors = np.array([[1, 2, 3]]), threading.Event(), []
    expected = np.asarray(model(x))

    def serve():
        while not (stop.is_set() or errors):
            try:
                np.testing.assert_allclose(model(x), expected, atol=1e-6)
            except Exception as error:
                errors.append(error)

    served = threading.Thread(target=serve)
    served.start()
    try:
        for _ in range(5):
            klv.attribution(model, x, 1, embedding=embedding, steps=2)
    finally:
        stop.set()
        served.join()
    assert not errors


@pytest.mark.slow
def test_several_inputs():
    # As `klv tune` makes them of tokens with a mask of their own.
    x = {
        "sequence": keras.Input((None,), dtype="int32", name="sequence"),
        "mask": keras.Input((None,), dtype="bool", name="mask"),
    }
    embedded = keras.layers.Embedding(9, FEATURES, name="words")(x["sequence"])
    model = keras.Model(x, keras.layers.Dense(2)(klv.LSTM(UNITS)(embedded, mask=x["mask"])))
    tokens = np.array([[1, 2, 3, 3], [3, 4, 5, 0]])
    given = {"sequence": tokens, "mask": np.array([[1, 1, 0, 0], [1, 1, 1, 0]], bool)}
    found = klv.attribution(model, given, np.array([1, 0]), embedding=model.get_layer("words"))
    assert (found.values != 0).tolist() == given["mask"].tolist()
    expected = np.asarray(model(given))[[0, 1], [1, 0]]
    assert_close(found.output, expected, 1e-6)
    with pytest.raises(ValueError, match=r"one floating array.*bool, int\d+"):
        klv.attribution(model, given, 1)
    # One floating input among others.
    x = {"x": keras.Input((None, FEATURES), name="x"), "mask": x["mask"]}
    layer = klv.GRU(UNITS)
    model = keras.Model(x, layer(x["x"], mask=x["mask"]))
    found = klv.attribution(model, {"x": sequences(), "mask": MASK}, 2)
    assert_close(found.values, klv.attribution(layer, sequences(), 2, mask=MASK).values, 1e-6)


@pytest.mark.slow
def test_targets():
    layer, x = make("LSTM", return_sequences=True), sequences()
    one = klv.attribution(layer, x, (-1, 2))
    other = klv.attribution(layer, x, lambda y: y[:, -1, 2])
    assert_close(one.values, other.values, 0)
    # What comes later cannot have moved an earlier output.
    assert not klv.attribution(layer, x, (2, 0)).values[:, 3:].any()
    single = keras.Sequential([layer, klv.Elman(1)])
    single(x)
    assert klv.attribution(single, x).output.shape == (BATCH,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "target=None"),
        ({"target": 9}, "target=9"),
        ({"target": (0, 1)}, r"target=\(0, 1\)"),
        ({"target": 1.5}, "target=1.5"),
        ({"target": [0, 1]}, r"index for each row.*\(2,\)"),
        ({"target": np.full(4, 7)}, "from 0 to K - 1"),
        ({"target": np.ones(4)}, "type float64"),
        ({"target": lambda y: ops.sum(y)}, r"gives the shape \(\)"),
        ({"target": lambda y: 3.0}, r"gives the shape \(\)"),
        ({"target": lambda y: y[0]}, r"gives the shape \(5,\)"),
        ({"target": 0, "baseline": np.ones(2)}, r"`baseline`.*ndarray \(2,\)"),
        ({"target": 0, "baseline": np.nan}, "`baseline` must be finite"),
        ({"target": 0, "baseline": "none"}, "`baseline`.*str"),
        ({"target": 0, "maks": 1}, "`maks` is no argument"),
        ({"target": 0, "method": "saliency"}, "method='saliency'"),
        ({"target": 0, "steps": 0}, "steps=0"),
        ({"target": 0, "steps": 8, "max_steps": 4}, "max_steps=4"),
        ({"target": 0, "tolerance": 0}, "tolerance=0"),
        ({"target": 0, "method": "gradient_x_input", "baseline": 1.0}, "`baseline` does not"),
        ({"target": 0, "method": "occlusion", "steps": 8}, "`steps` does not belong to"),
        ({"target": 0, "jit_compile": "no"}, "jit_compile='no'"),
        ({"target": 0, "training": "yes"}, "training='yes'"),
        ({"target": 0, "training": True}, "cannot be explained.*training=True"),
        ({"target": 0, "seed": 1}, "`seed` does not belong to method='integrated"),
        ({"target": 0, "method": "expected_gradients"}, r"rows of real inputs.*None"),
        ({"target": 0, "method": "expected_gradients", "baseline": 0.0}, r"float \(\)"),
        (
            {"target": 0, "method": "expected_gradients", "baseline": np.ones((2, 3))},
            r"\(None, 6, 3\).*ndarray \(2, 3\)",
        ),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        klv.attribution(make("LSTM"), sequences(), **options)


def test_integers_have_no_gradient():
    with pytest.raises(ValueError, match="embedding"):
        klv.attribution(make("LSTM"), np.ones((2, 3, FEATURES), "int32"), 0)


@pytest.mark.slow
def test_tokens():
    tokens = np.array([[1, 2, 0, 0], [3, 4, 5, 0]])
    inputs = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(9, FEATURES, mask_zero=True, name="words")(inputs)
    y = keras.layers.Dense(2)(klv.LSTM(UNITS)(embedded))
    model = randomize(keras.Model(inputs, y))
    words = model.get_layer("words")
    found = klv.attribution(model, tokens, 1, embedding=words, steps=256)
    assert_close(found.output, model(tokens)[:, 1], 1e-6)
    assert np.max(np.abs(found.gap)) < 1e-4
    # What is masked has moved nothing, the rest has; and the layer is as it was.
    assert (found.values != 0).tolist() == (tokens > 0).tolist()
    assert type(words(tokens)) is type(model(tokens)) and "call" not in vars(words)
    # The output of the layer carries its mask, too.
    lstm = next(layer for layer in model.layers if isinstance(layer, klv.LSTM))
    carried = klv.attribution(lstm, words(tokens), 1)
    given = klv.attribution(lstm, np.asarray(words(tokens)), 1, mask=tokens > 0)
    assert_close(carried.values, given.values, 1e-6)
    # A token has one value, the sum over its vector.
    vectors = klv.attribution(lstm, words(tokens), lambda h: model.layers[-1](h)[:, 1], steps=256)
    assert_close(found.values, vectors.values.sum(-1), 1e-6)
    # Baselines of tokens are what the embedding makes of them.
    other = np.array([[3, 3, 3, 3]])
    for options in ({"method": "occlusion"}, {}):
        one = klv.attribution(model, tokens, 1, embedding=words, baseline=other, **options)
        options["baseline"] = np.asarray(words(other))
        two = klv.attribution(model, tokens, 1, embedding=words, **options)
        assert_close(one.values, two.values, 1e-6)
    hidden = np.where(np.arange(4) == 1, other, tokens)
    found = klv.attribution(model, tokens, 1, embedding=words, method="occlusion", baseline=other)
    assert_close(found.values[:, 1], (model(tokens) - model(hidden))[:, 1], 1e-6)
    options = {"embedding": words, "method": "expected_gradients", "seed": 0, "max_steps": 64}
    found = klv.attribution(model, tokens, 1, baseline=np.repeat(other, 3, 0), **options)
    assert_close(found.values.sum(1), found.output - found.baseline_output + found.gap, 1e-6)
    assert_close(found.baseline_output, model(np.where(tokens > 0, 3, 0))[:, 1], 1e-6)
    with pytest.raises(ValueError, match="No gradient of the output arrives"):
        klv.attribution(model, tokens.astype("float32"), 1)
    with pytest.raises(ValueError, match="called 0 times"):
        klv.attribution(model, tokens, 1, embedding=keras.layers.Embedding(9, FEATURES))
    with pytest.raises(ValueError, match="embedding=5"):
        klv.attribution(model, tokens, 1, embedding=5)


@pytest.mark.parametrize("layer", [klv.LSTM, keras.layers.LSTM], ids=["ours", "theirs"])
@pytest.mark.slow
def test_kept_states_are_the_same_for_every_gradient_and_left(layer):
    inputs = keras.Input((TIME, FEATURES), batch_size=BATCH)
    y = keras.layers.Dense(1)(layer(UNITS, stateful=True)(inputs))
    model, x = keras.Model(inputs, y), sequences()
    model(x)
    states = [v.numpy() for v in model.layers[1].states]
    found = klv.attribution(model, x, steps=256)
    assert np.max(np.abs(found.gap)) < 1e-5
    for before, after in zip(states, model.layers[1].states, strict=True):
        np.testing.assert_array_equal(before, after)
    assert_close(found.output, model(x)[:, 0], 1e-6)
