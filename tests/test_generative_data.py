"""What the generative models take as data: looked at first, wherever it comes from."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_lstm_variants as klv

ROWS, TIME, FEATURES = 4, 5, 3
MAKE = {
    "VRNN": lambda: klv.VRNN(4, 2),
    "STORN": lambda: klv.STORN(4, 2),
    "DRAW": lambda: klv.DRAW(2, 4, 2, image_shape=(TIME, FEATURES)),
}
GOOD = np.random.default_rng(0).integers(2, size=(ROWS, TIME, FEATURES)).astype("float32")
HOLE = np.where(np.arange(TIME)[:, None] == 2, np.nan, GOOD).astype("float32")
MASK = np.broadcast_to(np.arange(TIME) != 2, (ROWS, TIME))
EVERY = pytest.mark.parametrize("name", list(MAKE))


class Batches(keras.utils.PyDataset):
    def __init__(self, *parts):
        super().__init__()
        self.parts, self.epochs = parts, []

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return tuple(part[2 * index : 2 * index + 2] for part in self.parts)

    def on_epoch_end(self):
        self.epochs.append(len(self.epochs))


def compiled(name, **options):
    model = MAKE[name]()
    model.compile("sgd", run_eagerly=True, **options)
    return model


def sources(*parts):
    """The same rows as a data set, a generator, and Keras's own kind."""
    whole = parts if len(parts) > 1 else parts[0]
    return {
        "tf.data": tf.data.Dataset.from_tensor_slices(whole).batch(2),
        "generator": (batch for batch in Batches(*parts)),
        "PyDataset": Batches(*parts),
    }


@EVERY
@pytest.mark.slow
def test_good_data_from_anywhere(name):
    model = compiled(name)
    expected = model.predict(GOOD, verbose=0)
    for given in sources(GOOD).values():
        found = model.predict(given, steps=2, verbose=0)  # else Keras warns of generators
        np.testing.assert_allclose(found, expected, atol=1e-6)
    for given in (GOOD.astype("uint8"), GOOD.tolist(), tf.constant(GOOD)):
        np.testing.assert_allclose(model.predict(given, verbose=0), expected, atol=1e-6)
    batches = Batches(GOOD)
    history = model.fit(
        batches, epochs=2, shuffle=False, verbose=0, validation_data=sources(GOOD)["tf.data"]
    ).history
    assert sorted(history)[3:] == ["val_kl", "val_loss", "val_reconstruction"]
    assert len(batches.epochs) >= 2


@pytest.mark.parametrize("name", ["VRNN", "STORN"])
def test_what_is_masked_may_be_anything(name):
    model = compiled(name)
    given = {"x": HOLE, "mask": MASK}
    expected = model.predict(given, verbose=0)
    assert np.isfinite(expected).all()
    dataset = tf.data.Dataset.from_tensor_slices(given).batch(2)
    np.testing.assert_allclose(model.predict(dataset, verbose=0), expected, atol=1e-6)
    for bad in (HOLE, {"x": HOLE, "mask": np.ones_like(MASK)}):
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
            model.predict(bad, verbose=0)
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
            model.predict(tf.data.Dataset.from_tensor_slices(bad).batch(2), verbose=0)


@EVERY
@pytest.mark.parametrize("bad", [255 * GOOD, GOOD - 1, GOOD + np.nan], ids=["big", "small", "nan"])
def test_numbers_out_of_range(name, bad):
    model = compiled(name)
    said = rf"must lie in \[0, 1\].*from {np.min(bad):g}.* to {np.max(bad):g}"
    late = np.concatenate([GOOD[:2], bad[2:]])
    for given in (bad, bad.astype("float16"), *sources(late).values()):
        with pytest.raises(ValueError, match=said):
            model.fit(given, shuffle=False, verbose=0)
    with pytest.raises(ValueError, match=f"`validation_data` every number {said}"):
        model.fit(GOOD, validation_data=(bad, None), verbose=0)
    of_a_batch = (model.train_on_batch, model.test_on_batch, model.predict_on_batch)
    for call in (*of_a_batch, model, model.elbo):
        with pytest.raises(ValueError, match=said):
            call(bad)


def test_batches_for_a_graph_are_looked_at_before_it():
    model = MAKE["VRNN"]()
    model.compile("sgd", jit_compile=False)
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        model.predict(sources(255 * GOOD)["tf.data"], verbose=0)


def test_a_gaussian_takes_all_that_is_finite():
    model = klv.VRNN(4, 2, likelihood="gaussian")
    model.compile("sgd", run_eagerly=True)
    model.fit(1e3 * GOOD, verbose=0)
    for bad in (GOOD + np.nan, GOOD + np.inf, 1e39 * GOOD.astype("float64")):
        with pytest.raises(ValueError, match="`x` every number must be finite"):
            model.fit(bad, verbose=0)


@EVERY
def test_other_bad_data(name):
    model = compiled(name)
    is_draw = name == "DRAW"
    shape = r"`x` must have the shape \(None, 5, 3\)" if is_draw else r"shape \(None, None, None\)"
    keys = '"x" alone' if is_draw else '"x" and may have "mask"'
    for given, message in (
        (GOOD[0], shape),
        (GOOD[..., None], shape),
        (sources(GOOD[..., None])["tf.data"], shape),
        (sources(GOOD[..., None])["generator"], shape),
        (GOOD[:0], "must not be empty"),
        (GOOD.astype(complex), "type complex128"),
        (np.array(["a"]), "type <U1"),
        (None, "NoneType"),
        ("x", "type <U1"),
        ({"y": GOOD}, keys),
        ({"x": GOOD, "maks": MASK}, keys),
        (tf.data.Dataset.from_tensor_slices({"x": GOOD, "maks": MASK}).batch(2), keys),
        ({"x": GOOD, "mask": MASK[:, 1:]}, keys if is_draw else r"`mask` must have the shape"),
        ({"x": GOOD, "mask": 1.0 * MASK}, keys if is_draw else "`mask` must be of the type bool"),
        *((given, "`y` must be None") for given in sources(GOOD, GOOD).values()),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(given, shuffle=False, verbose=0)
    for options in ({"sample_weight": np.ones(ROWS)}, {"class_weight": {0: 1.0}}, {"y": GOOD}):
        with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be None"):
            model.fit(GOOD, verbose=0, **options)
    assert not model.built
    model.fit(GOOD, verbose=0)
    with pytest.raises(ValueError, match=r"`x` must have the shape \(None, (None|5), 3\)"):
        model.fit(GOOD[..., :2], verbose=0)
    for call in (model.reconstruct, model.elbo, model.importance_weighted):
        with pytest.raises(ValueError, match="`batch_size` must be a positive integer"):
            call(GOOD, batch_size=0)


@pytest.mark.slow
def test_a_data_set_that_a_strategy_has_divided():
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        model = MAKE["VRNN"]()
        model.compile("sgd", jit_compile=False)
    divided = strategy.experimental_distribute_dataset(sources(GOOD)["tf.data"])
    assert np.isfinite(model.fit(divided, shuffle=False, verbose=0).history["loss"]).all()


@pytest.mark.parametrize("name", ["VRNN", "DRAW"])
@pytest.mark.slow
def test_a_fit_that_failed_spoils_none_after_it(name, monkeypatch):
    model = MAKE[name]()
    model.compile("sgd", jit_compile=False)

    def fails(*_, **__):
        raise RuntimeError("as a stop by hand, while the graph is made")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="by hand"):
        patch.setattr(type(model.recurrence), "call", fails)
        model.fit(GOOD, verbose=0)
    assert np.isfinite(model.fit(GOOD, verbose=0).history["loss"][0])


@EVERY
def test_its_loss_and_metrics_are_its_own(name):
    model = MAKE[name]()
    for options in (
        {"loss": "mse"},
        {"loss_weights": [1.0]},
        {"metrics": ["mae"]},
        {"weighted_metrics": ["mae"]},
    ):
        with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be None"):
            model.compile("adam", **options)
    with pytest.raises(ValueError, match="`loss` must be None. Received: loss='mse'"):
        model.compile("adam", "mse")


@pytest.mark.slow
def test_shapes_that_only_run_time_knows():
    model = MAKE["DRAW"]()
    model(GOOD)
    run = tf.function(lambda x: model(x)).get_concrete_function(tf.TensorSpec((None,) * 3))
    np.testing.assert_allclose(run(GOOD), model(GOOD), atol=1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError, match="`x` of .* must have the shape"):
        run(GOOD.transpose(0, 2, 1))
    model = MAKE["VRNN"]()
    model(GOOD)
    run = tf.function(lambda x, mask: model(x, mask=mask))
    run = run.get_concrete_function(tf.TensorSpec((None,) * 3), tf.TensorSpec((None,) * 2, tf.bool))
    np.testing.assert_allclose(run(GOOD, MASK), model(GOOD, mask=MASK), atol=1e-6)
    for x, mask in ((GOOD, MASK[:1]), (GOOD[:, :1], MASK), (GOOD[..., :2], MASK)):
        with pytest.raises(tf.errors.InvalidArgumentError):
            run(x, tf.constant(mask))
