"""The faults that `planted_faults.py` plants."""

from typing import NamedTuple


class Fault(NamedTuple):
    """A fault that the tests must catch.

    Attributes:
        name: what goes wrong.
        old: the text that is replaced: it must occur once in the package, wherever it is.
        new: the text in its place.
        tests: arguments of pytest: the tests that are likely to catch it.
        file: the name of its file, where the text alone occurs elsewhere, too.
        missed_by_old_suite: whether the suite before the faults were planted missed it.
    """

    name: str
    old: str
    new: str
    tests: str
    file: str = ""
    missed_by_old_suite: bool = False


EQUATIONS = "tests/test_equations.py::test_outputs_and_states -k "
GRAPH = "tests/test_engine.py::test_equals_keras_in_a_graph -k "

CELLS = [
    Fault(
        "coupled_gate_sign",
        "            i = 1 - f\n",
        "            i = f\n",
        EQUATIONS + "CoupledLSTM",
    ),
    Fault(
        "peephole_on_the_old_state",
        '        o = self.open("o", a, c)\n',
        '        o = self.open("o", a, states[1])\n',
        EQUATIONS + "PeepholeLSTM",
    ),
    Fault(
        "peephole_rows_in_another_order",
        "self.peephole_kernel[self.peepholes.index(gate)]",
        "self.peephole_kernel[sorted(self.peepholes).index(gate)]",
        EQUATIONS + "PeepholeLSTM",
    ),
    Fault(
        "lstm_biases_drawn_in_another_order",
        "[before, *self.forget_bias_columns(dtype).values(), after]",
        "[after, *self.forget_bias_columns(dtype).values(), before]",
        "tests/test_drop_in.py::test_one_seed_gives_the_weights_of_keras",
    ),
    Fault(
        "original_squashing_is_tanh",
        "h = o * (2 * keras.ops.sigmoid(c) - 1)",
        "h = o * keras.ops.tanh(c)",
        EQUATIONS + "LSTM1997",
    ),
    Fault(
        "gru_recurrent_bias",
        "return 0.0 if self.bias is None else self.bias[1]",
        "return 0.0 if self.bias is None else self.bias[0]",
        EQUATIONS + "GRU",
    ),
    Fault(
        "gru_resets_the_input_too",
        "g = self.activation(x_g + r * h_g)",
        "g = self.activation(r * (x_g + h_g))",
        EQUATIONS + "GRU",
    ),
    Fault(
        "mut1_update_gate_is_that_of_the_reset",
        "        z = self.gate(x_z)\n",
        "        z = self.gate(x_r)\n",
        EQUATIONS + "MUT1",
    ),
    Fault(
        "mut2_squashes_the_raw_input",
        "[x_z, self.raw(inputs), x_g]",
        "[x_z, ops.tanh(self.raw(inputs)), x_g]",
        EQUATIONS + "MUT2",
    ),
    Fault(
        "mut3_forgets_a_tanh",
        '(ops.tanh(h), "z"',
        '(h, "z"',
        EQUATIONS + "MUT3",
    ),
    Fault(
        "fgr_gates_fed_back_in_another_order",
        "ops.concatenate([i, f, o], axis=-1)",
        "ops.concatenate([f, i, o], axis=-1)",
        EQUATIONS + "FGRLSTM",
    ),
    Fault(
        "niaf_squashes_its_candidate",
        '        activation: Any = "linear",\n',
        '        activation: Any = "tanh",\n',
        EQUATIONS + "NIAFLSTM",
    ),
    Fault(
        "depth_gate_sees_the_new_memory",
        'seen = w["depth_peephole_kernel"][0] * c\n',
        'seen = w["depth_peephole_kernel"][0] * kept\n',
        EQUATIONS + "DepthGated",
    ),
    Fault(
        "clockwork_equal_periods_do_not_see_each_other",
        "starts[self.periods.index(period)] for period in self.periods]",
        "starts[j] for j, _ in enumerate(self.periods)]",
        EQUATIONS + "Clockwork",
    ),
    Fault(
        "clockwork_long_count_carries_late",
        "carries = ops.equal(low, _DIGIT - 1)",
        "carries = ops.equal(low, _DIGIT)",
        "tests/test_clockwork.py::test_every_group_runs_at_its_steps_alone",
    ),
    Fault(
        "grid_without_priority_sees_the_new_memory",
        'seen = h_t if self.priority == "depth" else old[0]',
        "seen = h_t",
        EQUATIONS + "GridLSTM",
    ),
    Fault(
        "sweep_masked_position_hands_on_its_own",
        "ops.where(inside, ops.where(seen, one, before), nothing)",
        "ops.where(inside, one, nothing)",
        "tests/test_grid.py::test_sweep_equals_the_equations",
    ),
    Fault(
        "late_output_gate_sees_the_old_memory",
        'self.seen(c, a, ("i", "f", "g"), training)',
        'self.seen(states[1], a, ("i", "f", "g"), training)',
        EQUATIONS + "MemoryGated",
    ),
    Fault(
        "deep_gates_share_the_biases_of_the_first",
        "sums = sums + self.trunk_biases[j][block]",
        "sums = sums + self.trunk_biases[j][:width]",
        "tests/test_equations.py tests/test_contract.py -k DeepGate",
    ),
    Fault(
        "elman_without_recurrent_dropout",
        "h = self.activation(self.recur(h, onto=z, training=training))",
        "h = self.activation(self.recur(h, onto=z))",
        "tests/test_contract.py tests/test_engine.py tests/test_layer.py tests/test_drop_in.py"
        ' -k "Elman or dropout or SimpleRNN"',
    ),
    Fault(
        "attention_spends_weight_on_masked_places",
        "ops.where(seen > 0, e, _HIDDEN)",
        "ops.where(seen > -1, e, _HIDDEN)",
        "tests/test_attention.py::TestEquations::test_against_numpy",
    ),
    Fault(
        "coverage_penalty_counts_masked_places",
        "missed = ops.sum(seen * ops.square(1 - coverage), axis=-1)",
        "missed = ops.sum(ops.square(1 - coverage), axis=-1)",
        "tests/test_attention.py",
    ),
    Fault(
        "mean_annotation_counts_masked_places",
        "ops.maximum(ops.sum(seen, axis=1), 1)",
        "ops.cast(ops.shape(seen)[1], seen.dtype)",
        "tests/test_attention.py::TestEquations::test_it_may_start_from_the_memory",
    ),
    Fault(
        "attention_backwards_hides_other_steps",
        "on = ops.flip(mask, axis=1) if self.go_backwards else mask",
        "on = mask",
        "tests/test_attention.py",
    ),
    Fault(
        "hard_attention_adds_its_baseline",
        "(cost - baseline) * (log_p",
        "(cost + baseline) * (log_p",
        "tests/test_hard_attention.py -k gradient_of_the_model",
    ),
    Fault(
        "hard_attention_entropy_of_the_draw",
        "entropy = -ops.sum(alpha * log_alpha, axis=-1, keepdims=True)",
        "entropy = -ops.sum(chosen * log_alpha, axis=-1, keepdims=True)",
        "tests/test_hard_attention.py",
    ),
    Fault(
        "forget_bias_sign_where_the_open_gate_overwrites",
        "{gate: ops.full(shape, sign * self.forget_bias, dtype=dtype)}",
        "{gate: ops.full(shape, self.forget_bias, dtype=dtype)}",
        "tests/test_forget_bias.py -k number",
    ),
    Fault(
        "usual_forget_bias_without_its_sign",
        "usual = sign * self.usual_forget_bias",
        "usual = self.usual_forget_bias",
        "tests/test_forget_bias.py -k usual",
    ),
    Fault(
        "chrono_opens_the_input_gate",
        "columns[self.input_gate] = -bias",
        "columns[self.input_gate] = bias",
        "tests/test_forget_bias.py -k chrono",
    ),
    Fault(
        "weights_lose_their_constraint",
        'constraint=getattr(self, f"{kind}_constraint"),',
        "constraint=None,",
        "tests/test_contract.py tests/test_layer.py tests/test_parity.py tests/test_models.py"
        ' -k "regular or constraint or keras_own_layer_test and LSTM or Own or option"',
    ),
    Fault(
        "weights_of_one_initializer_start_as_copies",
        "initializer = another(initializer, used)",
        "initializer = another(initializer, 0)",
        "tests/test_forget_bias.py::test_no_two_weights_start_as_copies",
    ),
    Fault(
        "per_gate_draws_all_gates_alike",
        "[self._block(k)(block, dtype=dtype) for k in",
        "[self._block(0)(block, dtype=dtype) for k in",
        "tests/test_layer.py -k per_gate",
    ),
    Fault(
        "chrono_reaches_one_step_too_far",
        "last = float(self.max_timesteps) - 1.0",
        "last = float(self.max_timesteps)",
        "tests/test_forget_bias.py -k chrono",
    ),
]

FAULTS = [*CELLS]
