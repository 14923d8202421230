"""The attention LSTM: its layer, its penalty, its two kinds of attention."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import MASK, assert_close, randomize
from equations import attention as equations
from graphs import JIT, assert_relatively_close
from tiers import quick_first

import keras_lstm_variants as klv

BATCH, TIME, FEATURES, UNITS, PLACES, DEPTH = 4, 6, 3, 5, 7, 2
# Holes, all of them, none, few.
SEEN = np.array([[1, 0, 1, 1, 0, 1, 1], [1] * 7, [0] * 7, [0, 0, 0, 0, 0, 1, 1]], bool)
OPTIONS = [
    {},
    {"scoring": "multiplicative", "attention_units": 4},
    {"use_beta": False, "attention_units": 3},
    {"use_bias": False, "output_activation": "linear"},
]
ALL = {"return_sequences": True, "return_state": True, "return_context": True}
ALL["return_attention"] = True


def data(dtype="float32"):
    random = np.random.default_rng(0)
    x = random.normal(size=(BATCH, TIME, FEATURES)).astype(dtype)
    return x, random.normal(size=(BATCH, PLACES, DEPTH)).astype(dtype)


def make(**options):
    layer = klv.AttentionLSTM(UNITS, **options)
    layer.build((None, None, FEATURES), memory_shape=(None, None, DEPTH))
    return randomize(layer)


def weights_of(layer):
    return {w.name: w.numpy() for w in layer.cell.weights}


class TestEquations:
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    @pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
    def test_against_numpy(self, options, masked):
        x, memory = data("float64")
        layer = make(**options, **ALL, coverage_penalty=0.5, dtype="float64")
        masks = {"mask": MASK, "memory_mask": SEEN} if masked else {}
        output, context, attention, h, c = layer(x, memory=memory, **masks)
        known = {k: options[k] for k in ("scoring", "use_beta") if k in options}
        if "output_activation" not in options:
            expected = equations.attention_lstm(weights_of(layer), x, memory, **masks, **known)
            found = {"output": output, "context": context, "attention": attention, "h": h, "c": c}
            for name, value in found.items():
                assert_close(value, expected[name], 1e-12)
            penalty = equations.coverage_penalty(
                expected["coverage"], masks.get("memory_mask"), masks.get("mask"), 0.5
            )
            assert_close(layer.losses, [penalty], 1e-6)
        sums = np.sum(attention, axis=-1)
        on = (MASK & SEEN.any(1)[:, None]) if masked else np.ones_like(MASK)
        assert_close(sums, on.astype("float64"), 1e-12)

    def test_backwards(self):
        x, memory = data("float64")
        layer = make(**ALL, go_backwards=True, dtype="float64")
        found = layer(x, memory=memory, mask=MASK, memory_mask=SEEN)
        expected = equations.attention_lstm(
            weights_of(layer), x, memory, mask=MASK, memory_mask=SEEN, go_backwards=True
        )
        names = ("output", "context", "attention", "h", "c")
        assert_close(found, [expected[name] for name in names], 1e-12)

    def test_without_a_view_of_its_context_it_is_an_lstm(self):
        x, memory = data()
        layer = make(return_sequences=True)
        layer.cell.context_kernel.assign(np.zeros((DEPTH, 4 * UNITS)))
        lstm = keras.layers.LSTM(UNITS, return_sequences=True)
        lstm.build(x.shape)
        lstm.set_weights(layer.get_weights()[:3])
        assert_close(layer(x, memory=memory, mask=MASK), lstm(x, mask=MASK), 1e-6)

    def test_the_score_is_that_of_keras(self):
        """keras.layers.AdditiveAttention, with the projections done before."""
        x, memory = data()
        layer = make(return_attention=True, return_state=True)
        start = np.random.default_rng(3).normal(size=(2, BATCH, UNITS)).astype("float32")
        _, attention, *_ = layer(
            x[:, :1], memory=memory, memory_mask=SEEN, initial_state=list(start)
        )
        w = weights_of(layer)
        keys = memory @ w["memory_kernel"] + w["attention_bias"]
        theirs = keras.layers.AdditiveAttention()
        query = (start[0] @ w["query_kernel"])[:, None]
        theirs([query, keys])
        theirs.set_weights([w["score_kernel"][:, 0]])
        _, expected = theirs([query, keys], mask=[None, SEEN], return_attention_scores=True)
        real = SEEN.any(1)
        assert_close(attention[real], expected[:, 0][real], 1e-6)

    def test_nothing_learned_yet(self):
        x, memory = data()
        layer = klv.AttentionLSTM(UNITS, return_context=True, return_attention=True)
        layer(x, memory=memory)
        for weight in layer.weights:
            weight.assign(np.zeros(weight.shape))
        _, context, attention = layer(x, memory=memory)
        assert_close(attention, np.full((BATCH, PLACES), 1 / PLACES))
        assert_close(context, memory.mean(1) / 2)

    def test_it_may_start_from_the_memory(self):
        x, memory = data()
        layer = make(initial_state="memory", return_state=True)
        _, *states = layer(x[:, :0], memory=memory, memory_mask=SEEN)
        (wh, bh), (wc, bc) = [dense.get_weights() for dense in layer.first]
        assert_close(states, equations.initial_states(memory, SEEN, wh, bh, wc, bc))
        given = [np.ones((BATCH, UNITS), "float32")] * 2
        _, *states = layer(x[:, :0], memory=memory, initial_state=given)
        assert_close(states, given)

    @pytest.mark.parametrize("use_beta", [False, True])
    def test_number_of_weights(self, use_beta):
        layer = make(attention_units=4, use_beta=use_beta)
        n, m, d, k = UNITS, FEATURES, DEPTH, 4
        expected = 4 * n * (m + n + d + 1) + d * k + n * k + k + k + (n + 1) * use_beta
        assert layer.count_params() == expected


class TestLoops:
    """The fast loop, and what a recurrent layer of Keras can do."""

    def gradients(self, layer, jit=False, masks=None, known=True, memory=None):
        """Of a graph, compiled or not; or step by step, where `jit` is None."""
        x, memory = (data()[0], data()[1] if memory is None else memory)

        def run(x, memory):
            with tf.GradientTape() as tape:
                tape.watch([x, memory])
                y = layer(x, memory=memory, training=True, **(masks or {}))
                y = tf.nest.flatten(y)
                loss = tf.add_n([tf.reduce_sum(tf.sin(v)) for v in y] + layer.losses)
            return y, tape.gradient(loss, [x, memory, *(w.value for w in layer.trainable_weights)])

        if jit is None:
            return run(tf.constant(x), tf.constant(memory))
        shapes = [x.shape, memory.shape] if known else [(None, None, FEATURES), (None, None, DEPTH)]
        specs = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
        return tf.function(run, jit_compile=jit, input_signature=specs)(x, memory)

    @JIT
    @pytest.mark.parametrize("options", OPTIONS[:3], ids=str)
    @pytest.mark.usefixtures("short_blocks")
    @pytest.mark.slow
    def test_the_fast_loop(self, options, jit, fast):
        options = {**options, **ALL, "coverage_penalty": 0.5, "initial_state": "memory"}
        masks = {"mask": MASK, "memory_mask": SEEN}
        found = self.gradients(make(**options), jit, masks, known=jit)
        assert fast
        expected = self.gradients(make(**options, engine="plain"), None, masks)
        assert all(g is not None for g in found[1])
        assert_relatively_close(found, expected, 2e-5)

    @pytest.mark.slow
    def test_compiled_by_itself_and_recomputed(self, fast):
        expected = self.gradients(make(**ALL, engine="plain"), None)
        for options in ({"engine": "xla"}, {"recompute": True}, {"unroll": True}):
            found = self.gradients(make(**ALL, **options))
            assert_relatively_close(found, expected, 2e-5)
        assert len(fast) == 2

    def test_step_by_step_is_the_whole(self):
        x, memory = data()
        layer = make(**ALL)
        whole = layer(x, memory=memory, memory_mask=SEEN)
        states, steps = None, []
        for t in range(TIME):
            *shown, h, c = layer(
                x[:, t : t + 1], memory=memory, memory_mask=SEEN, initial_state=states
            )
            states = [h, c]
            steps.append(shown)
        found = [np.concatenate(parts, axis=1) for parts in zip(*steps, strict=True)]
        assert_close([*found, *states], whole)

    def test_of_the_last_step_only(self):
        x, memory = data()
        whole, last = make(**ALL), make(**{**ALL, "return_sequences": False})
        expected = whole(x, memory=memory)
        assert_close(last(x, memory=memory), [*(v[:, -1] for v in expected[:3]), *expected[3:]])
        # With padding, of the last step that there is.
        padded = last(x, memory=memory, mask=np.arange(TIME)[None] < np.full((BATCH, 1), 4))
        assert_close(padded, last(x[:, :4], memory=memory))
        nothing = last(x[:, :0], memory=memory)
        assert not any(np.any(v) for v in nothing)

    def test_a_memory_without_places(self):
        x, memory = data()
        y = make(**ALL, initial_state="memory", coverage_penalty=1.0)(x, memory=memory[:, :0])
        masked = make(**ALL, initial_state="memory")(
            x, memory=memory, memory_mask=np.zeros((BATCH, PLACES), bool)
        )
        assert y[2].shape == (BATCH, TIME, 0)
        assert_close([y[0], y[1], *y[3:]], [masked[0], masked[1], *masked[3:]])

    def test_what_is_masked_is_not_seen_whatever_it_is(self):
        x, memory = data()
        layer = make(**ALL)
        expected = layer(x, memory=memory, memory_mask=SEEN)
        memory[~SEEN] = np.nan
        # Any whole number but 0 is true.
        assert_close(layer(x, memory=memory, memory_mask=SEEN * 2), expected, 0)
        found = self.gradients(layer, masks={"memory_mask": SEEN}, memory=memory)
        assert all(np.isfinite(g).all() for g in found[1])

    @quick_first(
        pytest.mark.parametrize(
            "options", [{"stop_gradient_every": 2}, {"clip_state_gradients": 1e-4}], ids=str
        )
    )
    @pytest.mark.parametrize("engine", ["auto", "plain"])
    @pytest.mark.slow
    def test_truncation_leaves_the_penalty_alone(self, options, engine):
        x, memory = data()
        options = {**options, "engine": engine, "coverage_penalty": 1.0}
        layer = make(return_attention=True, return_sequences=True, **options)

        @tf.function
        def both(x, memory):
            with tf.GradientTape(persistent=True) as tape:
                _, attention = layer(x, memory=memory)
                (own,) = layer.losses
                same = tf.reduce_mean(tf.reduce_sum((1 - tf.reduce_sum(attention, 1)) ** 2, -1))
            # Each of the weights, of whose gradient the steps' own parts are most.
            weight = layer.cell.score_kernel.value
            return tape.gradient(own, weight), tape.gradient(same, weight)

        own, same = both(tf.constant(x), tf.constant(memory))
        assert_close(own, same, 1e-5)

    def test_all_states(self):
        x, memory = data()
        layer = make(return_all_states=True, return_sequences=True, return_attention=True)
        output, attention, h, c, hs, cs = layer(x, memory=memory)
        assert_close([hs, hs[:, -1], cs[:, -1]], [output, h, c])
        assert attention.shape == (BATCH, TIME, PLACES)

    def test_right_padding_is_truncation(self):
        x, memory = data()
        layer = make(**ALL)
        seen = np.arange(PLACES)[None] < np.full((BATCH, 1), 4)
        mask = np.arange(TIME)[None] < np.full((BATCH, 1), 4)
        padded = layer(x, memory=memory, mask=mask, memory_mask=seen)
        cut = layer(x[:, :4], memory=memory[:, :4])
        attention = padded[2][:, :4, :4]
        assert_close([*(v[:, :4] for v in padded[:2]), attention, *padded[3:]], cut)

    def test_stateful_halves(self):
        x, memory = data()
        whole = make(return_sequences=True)(x, memory=memory)
        layer = klv.AttentionLSTM(UNITS, return_sequences=True, stateful=True)
        layer.build((BATCH, None, FEATURES), memory_shape=(BATCH, None, DEPTH))
        randomize(layer)
        halves = [layer(part, memory=memory) for part in (x[:, :3], x[:, 3:])]
        assert_close(np.concatenate(halves, axis=1), whole)
        assert [s.shape for s in layer.states] == [(BATCH, UNITS)] * 2

    @pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
    def test_mixed_precision(self, policy):
        x, memory = data()
        options = {**ALL, "coverage_penalty": 1.0}
        full = make(**options)(x, memory=memory, memory_mask=SEEN)
        layer = make(**options, dtype=policy)
        half = layer(x, memory=memory, memory_mask=SEEN)
        assert {v.dtype.name for v in half} == {policy.removeprefix("mixed_")}
        assert {w.dtype for w in layer.weights} == {"float32"}
        assert_close(half, full, 0.05)

    @pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
    def test_sums_over_many_steps(self, policy):
        steps, places = 600, 50
        x, memory = np.zeros((1, steps, 1)), np.ones((1, places, 2))
        layer = klv.AttentionLSTM(2, coverage_penalty=1.0, dtype=policy)
        layer.build(x.shape, memory_shape=memory.shape)

        @tf.function
        def penalty(x, memory):
            layer(x, memory=memory)
            return layer.losses[0]

        found = penalty(x, memory)
        assert_close(found, np.float32(places * (1 - steps / places) ** 2), 1e-4)
        assert found.dtype.name == ("float64" if policy == "float64" else "float32")


class TestModels:
    @pytest.mark.slow
    def test_functional_saved_and_exported(self, tmp_path):
        tokens, memory = keras.Input((None,), dtype="int32"), keras.Input((None, DEPTH))
        x = keras.layers.Embedding(9, FEATURES, mask_zero=True)(tokens)
        layer = klv.AttentionLSTM(
            UNITS, return_sequences=True, return_attention=True, initial_state="memory"
        )
        y, attention = layer(x, memory=memory)
        model = keras.Model([tokens, memory], [keras.layers.Dense(3)(y), attention])
        assert model.outputs[1].shape == (None, None, None)
        t = np.array([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]])
        m = data()[1][:2]
        output, attention = model.predict([t, m], verbose=0)
        # The mask of the tokens is seen, though the layer is called with two tensors.
        assert_close(attention[0, 3:], np.zeros((2, PLACES)))
        assert_close(output[0, 3:], np.tile(output[0, 2], (2, 1)))
        model.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras")
        assert_close(again.predict([t, m], verbose=0), [output, attention])
        model.export(tmp_path / "saved", verbose=False)
        saved = tf.saved_model.load(tmp_path / "saved")
        found = saved.serve([tf.constant(t, tf.int32), tf.constant(m)])
        assert_close(found, [output, attention], 1e-5)

    def test_the_mask_of_a_memory_is_taken_from_it(self):
        x = data()[0]
        tokens = np.array([[1, 2, 0, 0]] * BATCH)
        memory = keras.layers.Embedding(9, DEPTH, mask_zero=True)(tokens)
        layer = make(return_attention=True)
        _, attention = layer(x, memory=memory)
        assert_close(attention[:, 2:], np.zeros((BATCH, 2)))

    @JIT
    @pytest.mark.slow
    def test_every_weight_moves(self, jit):
        x, memory = keras.Input((None, FEATURES)), keras.Input((None, DEPTH))
        layer = klv.AttentionLSTM(
            UNITS,
            initial_state="memory",
            coverage_penalty=0.1,
            dropout=0.2,
            recurrent_dropout=0.2,
            attention_regularizer="l2",
        )
        model = keras.Model([x, memory], layer(x, memory=memory))
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit)
        before = model.get_weights()
        for places in (PLACES, 3):
            arrays = [data()[0], data()[1][:, :places]]
            model.fit(arrays, np.ones((BATCH, UNITS)), verbose=0)
        after = zip(model.trainable_weights, before, strict=True)
        assert [w.path for w, b in after if np.all(w.numpy() == b)] == []

    def test_configuration(self):
        layer = klv.AttentionLSTM(
            3,
            attention_units=2,
            scoring="multiplicative",
            hard=True,
            return_context=True,
            coverage_penalty=0.3,
            expected_share=0.1,
            hard_inference="greedy",
            initial_state="memory",
            memory_features=4,
        )
        again = klv.AttentionLSTM.from_config(layer.get_config())
        assert again.get_config() == layer.get_config()
        assert (
            again.cell.shown
            == layer.cell.shown
            == ("context", "coverage", "log_probability", "entropy")
        )

    def test_describe(self):
        text = klv.describe(klv.AttentionLSTM, 3, 5, memory_features=2, attention_units=4)
        assert "context_kernel     (2, 20)" in text
        with pytest.raises(ValueError, match="memory_features"):
            klv.describe(klv.AttentionLSTM)

    def test_it_is_no_variant_of_a_layer_without_memory(self):
        assert "AttentionLSTM" not in klv.list_variants()
