"""The parameters of a search: what they may be, and where they exist."""

import re

import keras
import keras_tuner
import numpy as np
import pytest

import keras_lstm_variants as klv
from keras_lstm_variants.tuning import (
    hp_forget_bias,
    hp_recurrent_stack,
    hp_variant,
    statistics_of,
)
from keras_lstm_variants.tuning.ranges import Space, parse, space_of


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
        from keras_lstm_variants.core import registry

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


def test_a_negative_range_after_a_blank():
    from keras_lstm_variants._cli.arguments import joined

    given = ["tune", "--forget-bias", "-1:5,chrono", "--seed", "3", "--tiny", "-x"]
    assert joined(given) == ["tune", "--forget-bias=-1:5,chrono", *given[3:]]
