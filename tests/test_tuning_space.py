"""The parameters of a search: what they may be, and where they exist."""

import re

import keras
import keras_tuner
import numpy as np
import pytest

import keras_lstm_variants as klv
from keras_lstm_variants.tuning import (
    RecurrentHyperModel,
    hp_forget_bias,
    hp_recurrent_stack,
    hp_variant,
    statistics_of,
)
from keras_lstm_variants.tuning.space import Space, parse, space_of

SMALL = {"layers": 1, "units": 4, "learning_rate": 0.01, "variants": ["LSTM"]}


def sampled(declare, trials=60):
    """Values of many random trials, as Keras Tuner fills the space that `declare` makes."""
    oracle = keras_tuner.oracles.RandomSearchOracle("val_loss", max_trials=trials, seed=1)
    for _ in range(4):
        hp = oracle.get_space()
        declare(hp)
        oracle.update_space(hp)
        for scope in hp.inactive_scopes:
            again = oracle.get_space()
            for condition in scope:
                again.values[condition.name] = condition.values[0]
            again.ensure_active_values()
            declare(again)
            oracle.update_space(again)
    found = []
    for k in range(trials):
        values = oracle.populate_space(str(k))["values"]
        hp = oracle.get_space()
        hp.values = values
        found.append((values, declare(hp)))
    return found


class TestSpaces:
    def test_values_lists_and_ranges(self):
        assert space_of("units", 8, int) == Space(int, (8,))
        assert space_of("units", [8, 16, 8], int) == Space(int, (8, 16))
        assert space_of("units", (8, 16), int, log=True) == Space(int, None, 8, 16, None, True)
        assert space_of("units", (8, 8), int).fixed
        assert space_of("rate", (0, 0.5, 0.1), float).high == 0.5
        assert space_of("both", [False, True], bool).choices == (False, True)

    @pytest.mark.parametrize(
        ("given", "kind", "why"),
        [
            ([], int, "the list is empty"),
            ((16, 8), int, "the range is empty"),
            (8.5, int, "8.5 is none"),
            (True, int, "True is none"),
            (0, int, "0 is out of bounds"),
            ((1, float("nan")), float, "nan is none"),
            ((1, 2, 3, 4), int, "no such range"),
            ((1, 9, 0), int, "the step is no positive number"),
            ((1, 9, 10), int, "the step is longer than the range"),
            (1, bool, "1 is neither"),
        ],
    )
    def test_what_is_none(self, given, kind, why):
        pattern = f"`units` must be .*{re.escape(why)}.*Received: units="
        with pytest.raises(ValueError, match=pattern):
            space_of("units", given, kind, least=1)

    def test_command_line(self):
        assert parse("--units", "8", int) == 8
        assert parse("--units", "8,16", int) == [8, 16]
        assert parse("--rate", "1e-4:1e-2", float) == (1e-4, 1e-2)
        assert parse("--rate", "0:1:0.5", float) == (0, 1, 0.5)
        assert parse("--bidirectional", "both", bool) == [False, True]
        with pytest.raises(ValueError, match="--units must be whole numbers.*'8:x'"):
            parse("--units", "8:x", int)
        with pytest.raises(ValueError, match="--bidirectional must be yes, no or both"):
            parse("--bidirectional", "maybe", bool)

    def test_declared_values_stay_in_their_space(self):
        spaces = {
            "a": space_of("a", (4, 64), int, log=True),
            "b": space_of("b", (4, 64, 20), int, log=True),
            "c": space_of("c", (0.0, 1.0, 0.25), float),
            "d": space_of("d", (1e-4, 1e-1), float, log=True),
            "e": space_of("e", [3, 5], int),
            "f": space_of("f", 7.0, float),
            "g": space_of("g", [False, True], bool),
        }
        found = [v for v, _ in sampled(lambda hp: [s.declare(hp, n) for n, s in spaces.items()])]
        assert {v["b"] for v in found} == {4, 24, 44, 64}
        assert {v["c"] for v in found} == {0.0, 0.25, 0.5, 0.75, 1.0}
        assert {v["e"] for v in found} == {3, 5} and {v["f"] for v in found} == {7.0}
        assert {v["g"] for v in found} == {False, True}
        for name, middle in (("a", 16), ("d", 10**-2.5)):
            low = sum(v[name] < middle for v in found)
            assert 15 < low < 45, "searched by order of magnitude"


class TestForgetBias:
    def test_exists_only_with_a_gate_that_keeps(self):
        def declare(hp):
            variant = hp_variant(hp, ["LSTM", "Elman", "CoupledLSTM", "NFGLSTM"])
            return variant, hp_forget_bias(hp, variant, [(-1, 4), "chrono"], max_timesteps=50)

        seen = set()
        for values, (variant, options) in sampled(declare):
            assert values["variant"] == variant
            keeps = bool(klv.get_variant(variant).cell_class.forget_gate)
            assert ("forget_bias_rule" in values) == keeps
            assert ("forget_bias" in values) == (values.get("forget_bias_rule") == "number")
            if not keeps:
                assert options == {}
            elif values["forget_bias_rule"] == "chrono":
                assert options == {"forget_bias": "chrono", "max_timesteps": 50}
            else:
                assert options == {"forget_bias": values["forget_bias"]}
            klv.get_variant(variant)(4, **options)
            seen.add((variant, values.get("forget_bias_rule")))
        assert len(seen) == 6

    @pytest.mark.parametrize("cell", ["lstm", klv.LSTM, klv.LSTMCell, klv.LSTMCell(3)])
    def test_any_name_of_a_cell(self, cell):
        hp = keras_tuner.HyperParameters()
        assert hp_forget_bias(hp, cell, 2.0) == {"forget_bias": 2.0}
        assert hp_forget_bias(hp, klv.Elman, 2.0) == {}
        assert hp_forget_bias(hp, "GRU", "default", name="of_gru") == {}
        assert hp.values == {"forget_bias": 2.0, "of_gru_rule": "default"}

    def test_reaches_the_bias(self):
        hp = keras_tuner.HyperParameters()
        options = hp_forget_bias(hp, "CoupledLSTM", [3.0, 5.0])
        layer = klv.CoupledLSTM(4, **options)
        layer.build((None, None, 2))
        np.testing.assert_array_equal(layer.cell.bias[:4], -3.0)

    def test_range_by_default_grows_with_the_sequence(self):
        for steps, high in ((None, 5.0), (10, 3.2), (1000, 7.9)):
            hp = keras_tuner.HyperParameters()
            hp_forget_bias(hp, "LSTM", max_timesteps=steps)
            (space,) = [p for p in hp.space if p.name == "forget_bias"]
            assert (space.min_value, space.max_value) == (-1.0, high)

    @pytest.mark.parametrize(
        ("values", "why"),
        [
            ("crono", "Did you mean 'chrono'"),
            ("chrono", "needs `max_timesteps`"),
            ((3, 1), "the range is empty"),
            ([], "the list is empty"),
            ([(0, 1), 2.0], "one range or a list"),
            (None, "`max_timesteps` must be a number above 2"),
        ],
    )
    def test_bad_values(self, values, why):
        steps = 1 if values is None else None
        with pytest.raises(ValueError, match=re.escape(why)):
            hp_forget_bias(keras_tuner.HyperParameters(), "LSTM", values, max_timesteps=steps)


class TestStack:
    def test_all_but_the_last_return_sequences(self):
        for count, last in ((1, False), (3, False), (2, True)):
            hp = keras_tuner.HyperParameters()
            stack = hp_recurrent_stack(
                hp, "PeepholeLSTM", layers=count, units=[4], return_sequences=last
            )
            assert [x.return_sequences for x in stack] == [True] * (count - 1) + [last]
            model = keras.Sequential([keras.Input((None, 2)), *stack])
            assert model.output_shape == ((None, None, 4) if last else (None, 4))

    def test_units_of_a_layer_exist_where_it_does(self):
        def declare(hp):
            return hp_recurrent_stack(
                hp, "GRU", layers=(1, 3), units=(2, 9), units_per_layer=True, forget_bias="default"
            )

        found = sampled(declare)
        for values, stack in found:
            sizes = [values[f"units_{k}"] for k in range(values["layers"])]
            assert [layer.units for layer in stack] == sizes
            assert f"units_{values['layers']}" not in values
        assert {v["layers"] for v, _ in found} == {1, 2, 3}

    def test_two_stacks_with_names_of_their_own(self):
        hp = keras_tuner.HyperParameters()
        two = [
            hp_recurrent_stack(hp, "LSTM", units=(4, 8), name=name, bidirectional=both)
            for name, both in (("encoder_", [False, True]), ("decoder_", True))
        ]
        assert {"encoder_units", "decoder_units", "encoder_bidirectional"} <= set(hp.values)
        assert [s[0].name for s in two] == ["encoder_recurrent_0", "decoder_recurrent_0"]
        assert isinstance(two[1][0], keras.layers.Bidirectional)

    def test_dropout_where_the_cell_has_it(self, monkeypatch):
        from keras_lstm_variants import registry

        class Bare(klv.LSTM):
            __signature__ = None

        Bare.__signature__ = klv.LSTM.__signature__.replace(
            parameters=[p for n, p in klv.LSTM.__signature__.parameters.items() if n != "dropout"]
        )
        monkeypatch.setitem(registry._layers, "Bare", Bare)

        def declare(hp):
            variant = hp_variant(hp, ["LSTM", "Bare"])
            return hp_recurrent_stack(hp, variant, units=4, layers=1, dropout=(0.0, 0.5))

        for values, (layer,) in sampled(declare, 20):
            assert ("dropout" in values) == (values["variant"] == "LSTM")
            assert layer.dropout == values.get("dropout", 0.0)
        with pytest.raises(ValueError, match="No variant here has the argument `dropout`"):
            hp_recurrent_stack(keras_tuner.HyperParameters(), "Bare", dropout=0.5)

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda hp: hp_variant(None), "`hp` must be"),
            (lambda hp: hp_variant(hp, 5), "`variants` must be names"),
            (lambda hp: hp_variant(hp, ["LSTM", None]), "`variants` must be names"),
            (lambda hp: hp_variant(hp, name=""), "`name` must be"),
            (lambda hp: hp_forget_bias(hp, int), "`cell` must be"),
            (lambda hp: hp_forget_bias(hp, "LSTM", 1e30), "`forget_bias` must be.*out of bounds"),
            (lambda hp: hp_recurrent_stack(hp, "LSTM", units_per_layer="x"), "`units_per_layer`"),
            (lambda hp: hp_recurrent_stack(hp, "LSTM", return_sequences="no"), "`return_seq"),
            (lambda hp: hp_recurrent_stack(hp, "LSTM", foo=1), "no argument `foo`"),
            (lambda hp: statistics_of("x"), "`values` must be numbers"),
            (lambda hp: statistics_of([[np.nan]]), "`values` must be finite"),
            (lambda hp: statistics_of(np.zeros((3, 2)), np.ones(2, bool)), "`mask` must have"),
        ],
    )
    def test_bad_arguments(self, call, message):
        with pytest.raises(ValueError, match=message):
            call(keras_tuner.HyperParameters())

    def test_variants_are_checked(self):
        hp = keras_tuner.HyperParameters()
        assert hp_variant(hp, ["grucell"]) == "GRU" and hp.values == {"variant": "GRU"}
        assert hp_variant(keras_tuner.HyperParameters()).choices == tuple(klv.list_variants())
        with pytest.raises(ValueError, match="Did you mean 'LSTM'"):
            hp_variant(hp, ["LTSM"])
        with pytest.raises(ValueError, match="names no variant"):
            hp_variant(hp, [])


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


def test_a_negative_range_after_a_blank():
    from keras_lstm_variants.cli import _joined

    given = ["tune", "--forget-bias", "-1:5,chrono", "--seed", "3", "--tiny", "-x"]
    assert _joined(given) == ["tune", "--forget-bias=-1:5,chrono", *given[3:]]
