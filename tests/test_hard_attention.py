"""Hard attention: what is drawn, and the model that trains it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import MASK, assert_close, randomize
from equations import attention as equations
from graphs import JIT
from test_attention import ALL, BATCH, DEPTH, FEATURES, SEEN, TIME, UNITS, data, make, weights_of

import keras_lstm_variants as klv


class TestHard:
    def draws(self, places, attention):
        """Numbers that draw these places (time) from this attention (batch, time, places)."""
        middle = np.cumsum(attention, -1) - attention / 2
        return np.take_along_axis(middle, places[None, :, None], -1)

    @pytest.mark.parametrize("instead", ["expected", "greedy", "sample"])
    def test_against_numpy(self, instead):
        x, memory = data("float64")
        layer = make(hard=True, hard_inference=instead, **ALL, dtype="float64")
        kept = []
        draws_of = layer._draws
        layer._draws = lambda *args: kept.append(draws_of(*args)) or kept[-1]
        layer.draws = []
        found = layer(x, memory=memory, mask=MASK, memory_mask=SEEN)
        draw = np.asarray(kept[0])
        assert ((draw >= 0) & (draw < 1)).all() == (instead == "sample")
        expected = equations.attention_lstm(
            weights_of(layer), x, memory, mask=MASK, memory_mask=SEEN, draw=draw
        )
        names = ("output", "context", "attention", "h", "c")
        assert_close(found, [expected[name] for name in names], 1e-6)
        names = ("log_probability", "entropy")
        (draws,) = layer.draws
        assert_close([draws[n] for n in names], [expected[n] for n in names], 1e-12)

    def test_places_are_drawn_as_often_as_their_share_says(self):
        layer = make(hard=True, hard_inference="sample", return_context=True, return_attention=True)
        rows = 20_000
        x = np.zeros((rows, 1, FEATURES), "float32")
        memory = np.tile(np.arange(3.0, dtype="float32")[None, :, None], (rows, 1, DEPTH))
        layer.cell.beta_bias.assign([50.0])
        _, context, attention = layer(x, memory=memory)
        places = np.rint(np.asarray(context)[:, 0])
        assert_close(context[:, 0], places)
        counts = np.bincount(places.astype(int), minlength=3) / rows
        assert np.max(np.abs(counts - np.asarray(attention)[0])) < 0.015

    def test_the_part_of_the_rows_that_takes_the_expectation(self):
        layer = make(hard=True, expected_share=0.25)
        draws = np.asarray(layer._draws(4000, 3, True))
        expected = draws[..., 0] == -1
        assert (expected == expected[:, :1]).all()
        assert abs(expected[:, 0].mean() - 0.25) < 0.03
        assert 0 <= draws[~expected].min() < 0.01
        assert 0.99 < draws[~expected].max() < 1

    def test_the_gradient_is_that_of_the_expected_loss(self):
        """All draws of two steps over three places, each with its probability."""
        random = np.random.default_rng(1)
        x = tf.constant(random.normal(size=(1, 2, FEATURES)))
        memory = tf.constant(random.normal(size=(1, 3, DEPTH)))
        cell = make(hard=True, dtype="float64").cell
        cell.show(("attention", "log_probability", "entropy"))
        weights = [w.value for w in cell.trainable_weights]
        layer = klv.RecurrentLayer(cell, dtype="float64")
        exact, estimates = 0.0, []
        with tf.GradientTape() as outer:
            for first in range(3):
                for second in range(3):
                    places = np.array([first, second])
                    with cell.attending(memory):
                        start = [*cell.get_initial_state(1), *cell.nothing_shown(1)]

                        def loss_of(draws, start=start):
                            side = {"draw": draws}
                            result = layer._loop(x, start, None, False, True, side)
                            attention, log_p = result.state_sequences[2], result.states[3]
                            return tf.reduce_sum(result.last_output**2), attention, log_p[0, 0]

                        # The attention of the second step depends on the first draw.
                        attention = np.full((1, 2, 3), 1 / 3)
                        for _ in range(2):
                            draws = self.draws(places, attention)
                            attention = loss_of(draws)[1].numpy()
                        draws = self.draws(places, attention)
                        with tf.GradientTape() as tape:
                            tape.watch(weights)
                            loss, attention, log_p = loss_of(draws)
                            surrogate = loss + tf.stop_gradient(loss) * log_p
                        gradient = tape.gradient(surrogate, weights)
                    chosen = attention.numpy()[0, [0, 1], places]
                    assert_close(np.exp(log_p), np.prod(chosen), 1e-6)
                    estimates.append((float(tf.exp(log_p)), gradient))
                    exact += tf.exp(log_p) * loss
        assert_close(sum(p for p, _ in estimates), 1.0, 1e-6)
        expected = outer.gradient(exact, weights, unconnected_gradients="zero")
        for k, e in enumerate(expected):
            found = sum(p * (0 if g[k] is None else g[k].numpy()) for p, g in estimates)
            assert_close(found + np.zeros(e.shape), e, 1e-6)

    def model(self, loss="mse", mask=False, **options):
        x = keras.Input((None, FEATURES))
        memory = keras.Input((None, DEPTH))
        masked = keras.layers.Masking(-9.0)(x) if mask else x
        y = klv.AttentionLSTM(UNITS, hard=True, return_sequences=True, name="reader")(
            masked, memory=memory
        )
        model = klv.HardAttentionModel([x, memory], keras.layers.Dense(2)(y), **options)
        model.compile(keras.optimizers.SGD(0.0), loss)
        randomize(model)
        return model

    @pytest.mark.parametrize(
        "loss", ["mse", keras.losses.MeanAbsoluteError(), keras.losses.Huber(reduction="sum")]
    )
    def test_the_losses_of_rows_are_the_compiled_loss(self, loss):
        x, memory = data()
        x[:, 4:] = -9.0
        model = self.model(loss, mask=True)
        y = np.ones((BATCH, TIME, 2), "float32")
        y_pred = model([x, memory])
        for weight in (None, np.arange(BATCH, dtype="float32")[:, None], np.eye(BATCH, TIME)):
            rows = model.row_losses(y, y_pred, weight)
            assert rows.shape == (BATCH,)
            whole = keras.Model.compute_loss(model, None, y, y_pred, weight)
            assert_close(np.mean(rows), whole, 1e-5)

    def test_targets_of_a_lower_rank(self):
        x, memory = data()
        inputs = [keras.Input((None, FEATURES)), keras.Input((None, DEPTH))]
        y = klv.AttentionLSTM(UNITS, hard=True)(inputs[0], memory=inputs[1])
        model = klv.HardAttentionModel(inputs, keras.layers.Dense(1)(y))
        model.compile("sgd", "mse")
        y, y_pred = np.arange(BATCH, dtype="float32"), model([x, memory])
        assert_close(model.row_losses(y, y_pred), (np.asarray(y_pred)[:, 0] - y) ** 2)

    def test_the_gradient_of_the_model(self):
        x, memory = data()
        y = np.ones((BATCH, TIME, 2), "float32")
        model = self.model(entropy_weight=0.1, reinforce_weight=2.0)
        reader = model.get_layer("reader")
        draws = reader._draws(BATCH, TIME, True)
        reader._draws = lambda *_: draws
        model.baseline.assign(0.7)
        model.rounds.assign(1)
        weights = [w.value for w in model.trainable_weights]
        with tf.GradientTape() as tape:
            y_pred = model([x, memory], training=True)
            loss = model.compute_loss(None, y, y_pred, training=True)
        found = tape.gradient(loss, weights)
        with tf.GradientTape() as tape:
            y_pred = model([x, memory], training=True)
            rows = tf.reduce_mean((y_pred - y) ** 2, axis=(1, 2))
            (draws,) = reader.draws
            advantage = tf.stop_gradient(rows) - 0.7
            total = rows + 2.0 * advantage * draws["log_probability"] - 0.1 * draws["entropy"]
            total = tf.reduce_mean(total)
        assert_close(found, tape.gradient(total, weights), 1e-5)
        assert_close(model.baseline.value, 0.9 * 0.7 + 0.1 * np.mean(rows), 1e-6)
        assert_close(loss, np.mean(rows) - 0.1 * np.mean(draws["entropy"]), 1e-5)

    @JIT
    @pytest.mark.slow
    def test_it_learns(self, jit, tmp_path):
        """Which of the places is marked: its other number is the answer."""
        random = np.random.default_rng(0)
        rows = 512
        marked = random.integers(4, size=rows)
        memory = random.normal(size=(rows, 4, 2)).astype("float32")
        memory[..., 1] = np.eye(4)[marked] * 4
        y = memory[np.arange(rows), marked, :1]
        inputs = [keras.Input((2, 1)), keras.Input((4, 2))]
        attention = klv.AttentionLSTM(12, hard=True, name="reader")(inputs[0], memory=inputs[1])
        model = klv.HardAttentionModel(inputs, keras.layers.Dense(1)(attention))
        keras.utils.set_random_seed(1)
        randomize(model)
        model.compile(keras.optimizers.Adam(0.02), "mse", jit_compile=jit)
        x = [np.ones((rows, 2, 1), "float32"), memory]
        before = model.evaluate(x, y, verbose=0)
        model.fit(x, y, epochs=15, batch_size=64, verbose=0)
        after = model.evaluate(x, y, verbose=0)
        assert after < 0.3 * before
        model.save(tmp_path / "hard.keras")
        again = keras.saving.load_model(tmp_path / "hard.keras")
        assert_close(again.predict(x, verbose=0), model.predict(x, verbose=0))
        assert_close(again.baseline.value, model.baseline.value)
        assert again.evaluate(x, y, verbose=0) == pytest.approx(after)

    @JIT
    @pytest.mark.slow
    def test_with_dropout(self, jit):
        x, memory = data()
        model = self.model()
        reader = model.get_layer("reader")
        reader.cell.dropout = reader.cell.recurrent_dropout = 0.3
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit)
        before = model.get_weights()
        model.fit([x, memory], np.ones((BATCH, TIME, 2)), epochs=3, verbose=0)
        before = dict(zip([w.path for w in model.weights], before, strict=True))
        still = [w.path for w in model.trainable_weights if np.all(w.numpy() == before[w.path])]
        assert still == []

    def test_one_layer_called_twice(self):
        inputs = [keras.Input((2, FEATURES)), keras.Input((3, DEPTH)), keras.Input((3, DEPTH))]
        layer = klv.AttentionLSTM(UNITS, hard=True, expected_share=0.0)
        y = [layer(inputs[0], memory=m) for m in inputs[1:]]
        model = klv.HardAttentionModel(inputs, keras.layers.Concatenate()(y), entropy_weight=0.0)
        model.compile("sgd", "mse")
        randomize(model)
        x = [tf.ones((BATCH, *i.shape[1:])) for i in inputs]
        with tf.GradientTape() as tape:
            tape.watch(x)
            y_pred = model(x, training=True)
            # No gradient but that of the draws.
            y_pred = tf.stop_gradient(y_pred)
            y = np.arange(BATCH, dtype="float32")[:, None] * np.ones((1, 2 * UNITS), "float32")
            loss = model.compute_loss(None, y, y_pred)
        assert all(np.any(g) for g in tape.gradient(loss, x[1:]))
        assert layer.draws is None

    def test_losses_that_overflow_are_left_out_of_the_mean(self):
        x, memory = data()
        model = self.model()
        y = np.ones((BATCH, TIME, 2), "float32")
        y_pred = model([x, memory], training=True)
        model.compute_loss(None, y * np.inf, y_pred)
        assert float(model.baseline.value) == float(model.rounds.value) == 0
        y_pred = model([x, memory], training=True)
        model.compute_loss(None, y, y_pred)
        assert_close(model.baseline.value, np.mean((np.asarray(y_pred) - y) ** 2))

    def test_losses_without_rows(self):
        x, memory = data()
        model = self.model(lambda a, b: keras.ops.mean((a - b) ** 2))
        with pytest.raises(ValueError, match="a value for each row"):
            model.fit([x, memory], np.ones((BATCH, TIME, 2)), verbose=0)
        with pytest.raises(ValueError, match=r"Call .* before its loss"):
            model.compute_loss(None, np.ones((1, 2, 2)), np.ones((1, 2, 2)))

    @pytest.mark.slow
    def test_one_output_in_a_list(self):
        x, memory = data()
        model = self.model()
        model = klv.HardAttentionModel(model.inputs, [model.output])
        model.compile("sgd", "mse")
        model.fit([x, memory], [np.ones((BATCH, TIME, 2))], verbose=0)

    def test_bad_models(self):
        x, memory = keras.Input((2, 1)), keras.Input((4, 2))
        soft = klv.AttentionLSTM(3)(x, memory=memory)
        with pytest.raises(ValueError, match="hard=True"):
            klv.HardAttentionModel([x, memory], soft)
        hard = klv.AttentionLSTM(3, hard=True)(x, memory=memory)
        with pytest.raises(ValueError, match="one output"):
            klv.HardAttentionModel([x, memory], [hard, soft])
        with pytest.raises(ValueError, match="entropy_weight=-1"):
            klv.HardAttentionModel([x, memory], hard, entropy_weight=-1)
        model = klv.HardAttentionModel([x, memory], hard)
        with pytest.raises(ValueError, match="loss"):
            model.compile("sgd")
        with pytest.raises(ValueError, match=r"loss\.reduction"):
            model.compile("sgd", keras.losses.MeanSquaredError(reduction="mean_with_sample_weight"))
        with pytest.raises(ValueError, match="loss_weights"):
            model.compile("sgd", "mse", [2.0])
