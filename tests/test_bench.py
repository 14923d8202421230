"""The parts of `klv bench`: what is timed, beside what, and what is made of it."""

import math
import subprocess
import sys

import numpy as np
import pytest
from bench_helpers import SHAPE, row

import keras_lstm_variants as klv
from keras_lstm_variants.backend.timing import inference, product_floor, training_step
from keras_lstm_variants.bench import contenders, driver, report, tensorflow_worker
from keras_lstm_variants.bench.contenders import Contender, Shape, contenders_of, parse_shape


class TestTiming:
    """What is timed does what it says."""

    @pytest.mark.parametrize("jit", [False, True])
    @pytest.mark.slow
    def test_step_and_inference_compute_the_layer(self, jit):
        layer, random = klv.LSTM(5, return_sequences=True), np.random.default_rng(0)
        x = random.standard_normal((2, 4, 3), "float32")
        mask = np.array([[1, 0, 1, 1], [0, 1, 1, 0]], bool)
        layer.build(x.shape)
        y = layer(x).numpy()
        masked = layer(x, mask=mask).numpy()
        assert training_step(layer, x, jit)() == pytest.approx(np.sum(y**2) / 2, rel=1e-4)
        step = training_step(layer, x, jit, mask=mask, input_gradient=False)
        assert step() == pytest.approx(np.sum(masked**2) / 2, rel=1e-4)
        assert inference(layer, x, jit)() == pytest.approx(y[0, 0, 0], rel=1e-4)

    @pytest.mark.parametrize("training", [False, True])
    @pytest.mark.parametrize("columns", [5, 20])
    def test_lower_bound_is_finite_after_many_steps(self, training, columns):
        run = product_floor(2, 2000, 3, 5, 20, columns, False, training)
        assert math.isfinite(run()) and abs(run()) < 1e4

    def test_lower_bound_needs_a_product_for_every_unit(self):
        with pytest.raises(ValueError, match="`recurrent_columns`.*recurrent_columns=4, units=5"):
            product_floor(2, 4, 3, 5, 20, 4, False, True)

    def test_columns_of_the_products(self):
        found = {
            v: tensorflow_worker.columns_of(klv.get_variant(v), 3, 5) for v in klv.list_variants()
        }
        assert found["LSTM"] == found["PeepholeLSTM"] == (20, 20)
        assert found["CoupledLSTM"] == found["GRU"] == (15, 15)
        assert found["FGRLSTM"] == (20, 20 + 9 * 5)
        assert found["MatrixLSTM"] == (22, 0) and found.pop("MatrixLSTM")
        assert found["MinGRU"] == (10, 0) and found.pop("MinGRU")
        assert all(of_state >= 5 for _, of_state in found.values())


class TestContenders:
    def test_shapes(self):
        assert parse_shape("16x100x32x64") == Shape(16, 100, 32, 64)
        assert str(Shape(16, 100, 32, 64)) == "16x100x32x64"

    def test_sides_of_each_variant(self):
        def sides(variant, **options):
            found = contenders_of(variant, SHAPE, "step", jits=(True,), **options)
            return [c.side for c in found if c.threads is None]

        assert sides("LSTM", torch=("torch",)) == [
            "klv", "keras", "rnn", "rnn_keras", "floor", "torch",
        ]  # fmt: skip
        assert sides("CoupledLSTM", torch=("torch",)) == ["klv", "keras", "rnn", "floor", "torch"]
        assert sides("MUT1", torch=("torch",)) == ["klv", "rnn", "floor"]
        assert sides("GRU", torch=()) == ["klv", "keras", "rnn", "rnn_keras", "floor"]

    def test_names_say_what_is_timed(self):
        names = [c.name for c in contenders_of("PeepholeLSTM", SHAPE, "step", jits=(True,))]
        assert names[:3] == ["klv.PeepholeLSTM", "keras.layers.LSTM", "RNN(klv.PeepholeLSTMCell)"]
        assert {"torch.nn.LSTM", "torchrecurrent.PeepholeLSTM"} <= set(names)
        alone = Contender("torch", "GRU", SHAPE, "step", None, threads=1)
        assert alone.name == "torch.nn.GRU, 1 thread"

    def test_every_contender_of_every_variant_can_be_built(self):
        for variant in klv.list_variants():
            for contender in contenders_of(variant, SHAPE, "step", jits=(True,), torch=()):
                # No state is multiplied in these: there is no lower bound.
                none = contender.side == "floor" and variant in ("MinGRU", "MatrixLSTM")
                assert (tensorflow_worker.make(contender.message()) is None) == none, contender

    def test_layers_are_what_the_names_say(self):
        for side, kind in (
            ("klv", "LSTM"),
            ("keras", "LSTM"),
            ("rnn", "RNN"),
            ("rnn_keras", "RNN"),
        ):
            contender = Contender(side, "LSTM", SHAPE, "step", True, "dropout")
            layer = tensorflow_worker.make_layer(contender.message())
            assert type(layer).__name__ == kind and layer.return_sequences
            assert layer.cell.dropout == layer.cell.recurrent_dropout == 0.2
            ours = isinstance(layer.cell, klv.Cell)
            assert ours is (side in ("klv", "rnn"))

    @pytest.mark.skipif("torch" not in contenders.installed_torch(), reason="needs torch")
    @pytest.mark.processes
    def test_torch_runs_in_a_process_without_tensorflow(self):
        file = driver.__file__.replace("driver.py", "torch_worker.py")
        contender = Contender("torch", "GRU", SHAPE, "step", None).message()
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "import runpy, sys\n"
                f"side = runpy.run_path({file!r})\n"
                "side['start'](1)\n"
                f"assert side['make']({contender!r})() > 0\n"
                f"assert side['make']({ {**contender, 'kind': 'inference'}!r})() != 0\n"
                "assert not {'tensorflow', 'keras'} & set(sys.modules)",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


class TestReport:
    def test_what_comes_by_default_and_the_best_settings(self):
        rows = [row("klv", 3.0), row("klv", 2.5, jit=True), row("klv_xla", 2.0), row("floor", 1.5)]
        rows += [row("keras", 6.0), row("keras", 4.0, jit=True), row("torch", None)]
        rows += [row("rnn", 12.0), row("rnn", 1.0, jit=True)]
        (ratios,) = report.ratio_rows(rows)
        assert (ratios["klv_ms"], ratios["best_ms"]) == (3.0, 2.0)
        assert {name: ratios[name] for name in report.RATIOS} == {
            "klv/keras": 0.5,
            "klv/best keras": 0.75,
            "klv/torch": None,
            "klv/RNN(cell)": 0.25,
            "best/best keras": 0.5,
            "best/torch": None,
            "floor/klv": 0.5,
        }

    def test_where_all_is_compiled_that_is_what_counts(self):
        (ratios,) = report.ratio_rows([row("klv", 3.0, jit=True), row("keras", 6.0, jit=True)])
        assert ratios["klv_ms"] == 3.0 and ratios["klv/keras"] == 0.5

    def test_geometric_means_over_the_shapes_that_have_the_ratio(self):
        rows = []
        for batch, keras in ((1, 2.0), (2, 8.0), (3, None)):
            rows += [row("klv", 4.0, batch=batch), row("keras", keras, batch=batch)]
        rows += [row("klv", 9.0, kind="inference"), row("keras", 3.0, kind="inference")]
        # With an option it is another question.
        rows += [row("klv", 99.0, option="mask"), row("keras", 1.0, option="mask")]
        step, infer = report.geometric_means(report.ratio_rows(rows))
        assert step["klv/keras"] == pytest.approx((2 * 0.5) ** 0.5)
        assert (step["kind"], step["shapes"], step["klv/torch"]) == ("step", 3, None)
        assert infer["klv/keras"] == pytest.approx(3)

    def test_options_are_beside_the_same_side_without(self):
        rows = [row("klv", 2.0), row("klv", 1.0, jit=True), row("klv", 3.0, option="mask")]
        rows += [row("keras", 4.0), row("keras", 6.0, option="mask")]
        found = report.option_rows(rows)
        assert [(r["side"], r["option"], r["ratio"]) for r in found] == [
            ("klv", "mask", 3.0),
            ("keras", "mask", 1.5),
        ]

    def test_summary(self):
        found = driver.summary([3.0, 1.0, 2.0, 5.0, 4.0])
        assert found == {
            "median_ms": 3.0,
            "min_ms": 1.0,
            "quartile1_ms": 2.0,
            "quartile3_ms": 4.0,
            "max_ms": 5.0,
        }
        assert set(driver.summary([2.0]).values()) == {2.0}

    def test_turns_change_who_is_first_and_who_is_next(self):
        rounds = [driver.turns(list("abcd"), k) for k in range(8)]
        assert all(sorted(r) == list("abcd") for r in rounds)
        assert {r[0] for r in rounds} == set("abcd")
        after_a = {r[r.index("a") + 1] for r in rounds if r[-1] != "a"}
        assert len(after_a) > 1

    def test_tables(self):
        table = (["a", "b"], [["1", "22"], ["333", ""]])
        assert report.plain(table) == "a    b\n-------\n1    22\n333"
        assert report.markdown(table) == "| a | b |\n| --- | --- |\n| 1 | 22 |\n| 333 |  |"
