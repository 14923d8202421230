"""`RecurrentHyperModel`: the models of a search, what they learn and what they refuse."""

import keras
import keras_tuner
import numpy as np
import pytest

import keras_lstm_variants as klv
from keras_lstm_variants.tuning import RecurrentHyperModel, statistics_of

SMALL = {"layers": 1, "units": 4, "learning_rate": 0.01, "variants": ["LSTM"]}


def data_of(head, symbols, rows=24, steps=5):
    random = np.random.default_rng(0)
    if symbols:
        x = random.integers(symbols, size=(rows, steps + 1))
    else:
        x = random.normal(size=(rows, steps + 1, 2)).astype("float32")
    if head == "next_step":
        return x[:, :-1], x[:, 1:]
    y = {
        "classification": random.integers(3, size=rows),
        "labels": random.integers(3, size=(rows, steps)),
        "regression": random.normal(size=(rows, 3)),
    }[head]
    return x[:, :-1], y


class TestHyperModel:
    @pytest.mark.parametrize(
        ("head", "symbols"),
        [
            ("classification", None),
            ("labels", 6),
            ("regression", None),
            ("next_step", None),
            ("next_step", 6),
        ],
    )
    @pytest.mark.slow
    def test_every_head_learns(self, head, symbols):
        keras.utils.set_random_seed(0)
        x, y = data_of(head, symbols)
        hypermodel = RecurrentHyperModel(
            (None,) if symbols else (None, 2),
            head,
            None if head == "next_step" else 3,
            symbols=symbols,
            batch_size=8,
            **{**SMALL, "learning_rate": 0.05},
        )
        hp = keras_tuner.HyperParameters()
        model = hypermodel.build(hp)
        history = hypermodel.fit(
            hp, model, x, y, validation_data=(x, y), epochs=3, verbose=0
        ).history
        assert set(history) == set(hypermodel.objectives)
        assert history["val_loss"][-1] < history["val_loss"][0]
        every_step = head in ("labels", "next_step")
        last = 3 if head != "next_step" else (symbols or 2)
        assert model.output_shape == ((None, None, last) if every_step else (None, last))

    @pytest.mark.parametrize(
        ("head", "masked"), [("regression", False), ("values", True), ("next_step", True)]
    )
    @pytest.mark.slow
    def test_a_model_that_standardises_takes_and_gives_raw_numbers(self, head, masked, tmp_path):
        """The same weights as a model without, fed with standardised numbers by hand."""
        random = np.random.default_rng(0)
        x = 1e5 + [1.0, 3e-9] * random.normal(size=(24, 5, 2)) * [500, 1] - [0, 1e5]
        y = {
            "regression": random.normal(size=(24, 2)) * [1, 1e6] + 7,
            "values": random.normal(size=(24, 5, 2)) * [1, 1e6] + 7,
            "next_step": x,
        }[head]
        mask = np.arange(5) < random.integers(1, 6, size=(24, 1)) if masked else None
        of_x = statistics_of(x, mask)
        of_y = {
            "regression": lambda: statistics_of(y),
            "values": lambda: statistics_of(y, mask),
            "next_step": lambda: of_x,
        }[head]()
        given = {"input_statistics": of_x}
        if head != "next_step":
            given["target_statistics"] = of_y
        outputs = None if head == "next_step" else 2

        def model_of(**statistics):
            hypermodel = RecurrentHyperModel(
                (5, 2), head, outputs, masked=masked, **statistics, **SMALL
            )
            return hypermodel, hypermodel.build(keras_tuner.HyperParameters())

        hypermodel, model = model_of(**given)
        _, plain = model_of()
        plain.set_weights(model.get_weights())

        def inputs(x):
            return {"sequence": x, "mask": mask} if masked else x

        expected = plain.predict(inputs((x - of_x[0]) / of_x[1]), verbose=0)
        path = tmp_path / "model.keras"
        model.optimizer.build(model.trainable_variables)
        model.save(path)
        model = keras.models.load_model(path)
        found = model.predict(inputs(x), verbose=0)
        np.testing.assert_allclose((found - of_y[0]) / of_y[1], expected, atol=1e-3)

        counted = mask if head != "regression" and masked else np.ones(y.shape[:-1], bool)
        gap = (np.asarray(y, "float32") - found)[counted].astype("float64")
        scores = model.evaluate(inputs(x), y, verbose=0, return_dict=True)
        assert set(hypermodel.objectives) == {f"{p}{s}" for p in ("", "val_") for s in scores}
        assert scores["loss"] == pytest.approx(np.mean((gap / of_y[1]) ** 2), rel=1e-3)
        assert scores["mean_squared_error"] == pytest.approx(np.mean(gap**2), rel=1e-3)
        assert scores["mean_absolute_error"] == pytest.approx(np.abs(gap).mean(), rel=1e-3)

    @pytest.mark.parametrize("head", ["classification", "labels"])
    def test_masked_steps_count_nowhere(self, head):
        x, y = data_of(head, None)
        mask = np.arange(5) < np.random.default_rng(1).integers(1, 6, size=(24, 1))
        hypermodel = RecurrentHyperModel((5, 2), head, 3, masked=True, bidirectional=True, **SMALL)
        hp = keras_tuner.HyperParameters()
        model = hypermodel.build(hp)
        other = np.where(mask[..., None], x, 99.0)
        scores = model.predict({"sequence": x, "mask": mask}, verbose=0)
        changed = model.predict({"sequence": other, "mask": mask}, verbose=0)
        counted = mask if head == "labels" else np.ones(24, bool)
        np.testing.assert_allclose(scores[counted], changed[counted], atol=1e-6)
        if head == "labels":
            inputs = {"sequence": x, "mask": mask}
            found = model.evaluate(inputs, y, verbose=0, return_dict=True)
            z = scores - scores.max(-1, keepdims=True)
            loss = np.log(np.exp(z).sum(-1)) - np.take_along_axis(z, y[..., None], -1)[..., 0]
            assert found["loss"] == pytest.approx(loss[mask].mean(), rel=1e-4)
            right = (scores.argmax(-1) == y)[mask].mean()
            assert found["accuracy"] == pytest.approx(right, rel=1e-4)

    @pytest.mark.slow
    def test_a_loss_that_is_no_number_fails_the_trial(self):
        x, y = data_of("regression", None)
        hypermodel = RecurrentHyperModel((5, 2), "regression", 3, **SMALL)
        hp = keras_tuner.HyperParameters()
        model = hypermodel.build(hp)
        with pytest.raises(
            keras_tuner.errors.FailedTrialError, match="loss.*is no longer a number in epoch 1"
        ):
            hypermodel.fit(hp, model, x, np.full_like(y, np.nan), verbose=0)

    def test_clipping_and_batches(self):
        for clip, expected in ((0, None), (2.0, 2.0)):
            hypermodel = RecurrentHyperModel((5, 2), "regression", clipnorm=clip, **SMALL)
            hp = keras_tuner.HyperParameters()
            assert hypermodel.build(hp).optimizer.clipnorm == expected
            assert hp["batch_size"] == 32
        with pytest.raises(ValueError, match="`batch_size` is a parameter of the search"):
            hypermodel.fit(hp, None, batch_size=3)
        free = RecurrentHyperModel((5, 2), "regression", batch_size=None, **SMALL)
        free.build(hp := keras_tuner.HyperParameters())
        assert "batch_size" not in hp

    def test_objectives_have_their_direction(self):
        hypermodel = RecurrentHyperModel((5, 2), "classification", 3, **SMALL)
        assert hypermodel.objective("val_accuracy").direction == "max"
        assert hypermodel.objective().direction == "min"
        with pytest.raises(ValueError, match="`objective` must be one of .*val_acuracy.*Did you"):
            hypermodel.objective("val_acuracy")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"head": "classify"}, "`head` must be one of"),
            ({"head": "labels", "outputs": None}, "`outputs` must be a positive integer"),
            ({"head": "classification", "outputs": 1}, "at least 2 classes"),
            ({"head": "next_step", "outputs": 7}, "`outputs` must be None or 2"),
            ({"head": "next_step", "bidirectional": [False, True]}, "sees what it should predict"),
            ({"input_shape": (5,)}, r"`input_shape` must be \(time, features\)"),
            ({"input_shape": (5, 2), "symbols": 4}, r"`input_shape` must be \(time,\)"),
            ({"input_shape": (5, None)}, "`input_shape` must be"),
            ({"input_statistics": ([0.0], [1.0])}, r"`input_statistics` must be .* 2 finite"),
            ({"input_statistics": 3}, "`input_statistics` must be"),
            ({"target_statistics": ([0.0], [0.0])}, "the deviations above 0"),
            ({"target_statistics": ([0.0, 1.0], [1.0])}, "`target_statistics` must be"),
            (
                {"head": "labels", "outputs": 3, "target_statistics": ([0.0], [1.0])},
                "`target_statistics` must be None with head='labels'",
            ),
            ({"foo": 1}, r"LSTM\(16, \.\.\.\): LSTM has no argument `foo`"),
            ({"use_bias": False, "forget_bias": 1.0}, "`forget_bias` needs `use_bias=True`"),
            ({"return_sequences": True}, "`return_sequences` follows from `head`"),
            ({"return_state": True}, "`return_state` is decided by the stack"),
            ({"embedding": 4}, "`embedding` must be None without `symbols`"),
            ({"units_per_layer": "x"}, "`units_per_layer` must be True or False"),
            ({"units": 10**9}, "`units` must be.*out of bounds"),
            ({"units": 90_000}, "`units`=90,000 would take 388,800,000,000 bytes"),
            ({"head": "classification", "outputs": 10**9}, "`outputs`=1,000,000,000 would take"),
            ({"layers": 2**70}, "`layers` must be.*out of bounds"),
            ({"symbols": 0}, "`symbols` must be a positive integer"),
            ({"units": (64, 8)}, "`units` must be.*the range is empty"),
            ({"dropout": 1.0}, "`dropout` must be.*below 1.*out of bounds"),
            ({"learning_rate": 0}, "`learning_rate`"),
            ({"batch_size": []}, "`batch_size` must be.*empty"),
            ({"variants": ["LTSM"]}, "Did you mean 'LSTM'"),
            ({"forget_bias": "chrono", "input_shape": (None, 2)}, "needs `max_timesteps`"),
            ({"jit_compile": "yes"}, "`jit_compile` must be one of"),
        ],
    )
    def test_bad_arguments(self, arguments, message):
        usual = {"input_shape": (5, 2), "head": "regression", "outputs": None}
        with pytest.raises(ValueError, match=message):
            RecurrentHyperModel(**{**usual, **arguments})


def test_tuning_is_imported_when_it_is_used():
    assert klv.tuning.RecurrentHyperModel is RecurrentHyperModel
    with pytest.raises(AttributeError, match="no attribute 'tunning'"):
        _ = klv.tunning
