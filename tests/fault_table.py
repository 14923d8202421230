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
        "for n in (at, after) if n]",
        "for n in (after, at) if n]",
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
        "tests/test_equations.py::test_outputs_and_states -k DeepGate",
        missed_by_old_suite=True,
    ),
    Fault(
        "elman_without_recurrent_dropout",
        "h = self.activation(self.recurrent_matmul(h, add_to=z, training=training))",
        "h = self.activation(self.recurrent_matmul(h, add_to=z))",
        "tests/test_contract.py::test_contract -k Elman-default",
        missed_by_old_suite=True,
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
        "on = engine.in_processing_order(mask, self._loop_options())",
        "on = mask",
        "tests/test_attention.py -k backwards",
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
        "        elif not isinstance(forget_bias, float):\n            sign = 1",
        "        else:\n            sign = 1",
        "tests/test_forget_bias.py -k number",
    ),
    Fault(
        "usual_forget_bias_without_its_sign",
        "self.starting_at(self.usual_forget_bias)",
        "self.starting_at(self.forget_gate[1] * self.usual_forget_bias)",
        "tests/test_forget_bias.py -k usual",
    ),
    Fault(
        "chrono_opens_the_input_gate",
        "blocks[self.gates.index(self.closed)] = -keep",
        "blocks[self.gates.index(self.closed)] = keep",
        "tests/test_forget_bias.py -k chrono",
    ),
    Fault(
        "weights_lose_their_constraint",
        'constraint=getattr(self, f"{kind}_constraint"),',
        "constraint=None,",
        "tests/test_layer.py -k regularizer_and_the_constraint",
        missed_by_old_suite=True,
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

ENGINE = [
    Fault(
        "gradient_of_a_product_in_other_columns",
        "tf.pad(d_kernel, [[0, 0], [first, total.shape[1] - stop]])",
        "tf.pad(d_kernel, [[0, 0], [total.shape[1] - stop, first]])",
        GRAPH + "GRU",
    ),
    Fault(
        "gradient_of_peepholes_left_out",
        "sums = list(map(_add, sums, found.weights))",
        "sums = [_add(s, None) for s, _ in zip(sums, found.weights, strict=True)]",
        GRAPH + "PeepholeLSTM",
    ),
    Fault(
        "masked_steps_lose_the_gradient_of_the_states",
        "d_old = [d + p for d, p in zip(d_old, d_passed, strict=True)]",
        "d_old = list(d_old)",
        GRAPH + "LSTM",
    ),
    Fault(
        "masked_steps_lose_the_gradient_of_the_output",
        "d_before = [where(on, tf.zeros_like(d_output), d_output)]",
        "d_before = [tf.zeros_like(d_output)]",
        GRAPH + "LSTM",
    ),
    Fault(
        "recomputed_rows_with_the_mask_of_other_rows",
        "tf.tile(m, [space] + [1] * (m.shape.rank - 1))",
        "tf.repeat(m, space, axis=0)",
        "tests/test_engine.py::test_computed_again_equals_kept",
    ),
    Fault(
        "gradient_sums_in_half_precision",
        "tf.zeros(sizes(weight), tf.float32 if half else weight.dtype)",
        "tf.zeros(sizes(weight), weight.dtype)",
        "tests/test_engine_cells.py -k summed_in_float32",
        missed_by_old_suite=True,
    ),
    Fault(
        "filled_up_steps_come_first",
        "return joined if self.even else joined[:, : self.steps]",
        "return joined if self.even else joined[:, -self.steps :]",
        "tests/test_engine.py::test_blocks_of_any_length_without_a_mask",
    ),
    Fault(
        "numbers_of_a_batch_are_not_required",
        "with tf.control_dependencies([tf.debugging.Assert(condition, [text])]):",
        "with tf.control_dependencies([text]):",
        "tests/test_generative_data.py -k before_it",
        missed_by_old_suite=True,
    ),
    Fault(
        "masked_nan_reaches_gradients",
        "values = tf.where(keep, sequences, tf.zeros_like(sequences))",
        "values = tf.where(keep, sequences, sequences)",
        "tests/test_engine_gradients.py::test_what_is_masked_may_be_no_number",
    ),
    Fault(
        "backwards_mask_is_not_turned_round",
        "sequences, mask = in_processing_order((sequences, mask), options)",
        "sequences, _ = in_processing_order((sequences, mask), options)",
        "tests/test_parity.py::test_outputs_and_states -k LSTM",
    ),
    Fault(
        "backwards_stack_masks_other_steps",
        "    sequences, mask = in_processing_order((sequences, mask), options)\n",
        "    given = mask\n"
        "    sequences, mask = in_processing_order((sequences, mask), options)\n"
        "    mask = given if _is_plain_stack(cell) else mask\n",
        "tests/test_engine.py::test_stacked_cells_each_in_a_fast_loop",
    ),
    Fault(
        "rows_side_by_side_come_back_in_another_order",
        "else tf.concat(values, 0), *parts",
        "else tf.concat(values, 0), *parts[::-1]",
        "tests/test_engine.py::test_all_options_in_a_graph",
    ),
    Fault(
        "rows_side_by_side_of_another_size",
        "ends = [batch * k // loops for k in range(loops + 1)]",
        "ends = [batch // loops * k for k in range(loops + 1)]",
        "tests/test_engine.py -k smaller_last_batch",
    ),
    Fault(
        "gradient_stopped_one_step_late",
        "(tf.convert_to_tensor(time) % stop_gradient_every == 0)",
        "(tf.convert_to_tensor(time) % stop_gradient_every == 1)",
        "tests/test_engine_gradients.py::TestBetweenSteps::test_gradients",
    ),
    Fault(
        "gradient_of_the_first_states_is_clipped",
        "tf.where(between, c, g) for c, g in",
        "c for c, g in",
        "tests/test_engine_gradients.py::TestBetweenSteps::test_gradients",
    ),
    Fault(
        "gradient_of_sums_is_clipped",
        "return [g if k in but else changed for",
        "return [changed for",
        "tests/test_attention.py -k truncation",
    ),
    Fault(
        "vectorised_edges_are_lost",
        "own = arguments if loop.settings.edge is None else guarded(arguments)",
        "own = arguments",
        "tests/test_derivatives.py::test_edges_are_never_lost",
    ),
    Fault(
        "second_derivatives_without_the_mask",
        "_flat(plain(*_apart(arguments, n), mask, tuple(dropout_masks)))",
        "_flat(plain(*_apart(arguments, n), None, tuple(dropout_masks)))",
        "tests/test_engine_gradients.py::test_second_derivatives",
    ),
    Fault(
        "second_derivatives_without_the_dropout",
        "again = step.with_masks(dropout_masks)",
        "again = step.with_masks((None, None))",
        "tests/test_engine.py -k second_derivatives_and_dropout",
    ),
    Fault(
        "fast_loop_repeats_outputs_instead_of_zeros",
        "masked_output = no_output if self.settings.options.zero_output_for_mask else held[0]",
        "masked_output = held[0]",
        "tests/test_engine.py::test_all_options_in_a_graph",
    ),
    Fault(
        "fast_loop_gives_the_states_before_each_step",
        "batch_first(layout.whole(history)[1:][: self.blocks.steps])",
        "batch_first(layout.whole(history)[: self.blocks.steps])",
        "tests/test_engine.py::test_all_options_in_a_graph",
    ),
    Fault(
        "phase_advances_on_padding",
        "new = [where(on, n, s) for n, s in zip(new, states, strict=True)]",
        "new = [n if own.kind == 'counter' else where(on, n, s) for n, s, own in "
        "zip(new, states, self.step.cell.states, strict=True)]",
        GRAPH + "Clockwork",
    ),
    Fault(
        "forward_mode_forgets_what_it_is_multiplied_with",
        "tf.gradients(targets, sources, grad_ys=d)",
        "tf.gradients(targets, sources)",
        "tests/test_derivatives.py::test_every_kind",
    ),
    Fault(
        "operands_of_the_first_block_for_all",
        "part.write(k, array.read(start + k))",
        "part.write(k, array.read(k))",
        "tests/test_engine.py::test_computed_again_equals_kept -k LSTM-graph",
    ),
    Fault(
        "vectorised_loop_hands_out_its_steps_in_reverse",
        "where(places == time, tf.repeat(v",
        "where(places == steps - 1 - time, tf.repeat(v",
        "tests/test_engine.py -k vectorised_rows",
    ),
    Fault(
        "plain_loop_repeats_outputs_instead_of_zeros",
        "held = zero_output if options.zero_output_for_mask else output",
        "held = output",
        "tests/test_parity.py::test_zeros_for_masked_steps",
    ),
    Fault(
        "unrolled_loop_ignores_edges",
        "        if edge is not None:\n            flat = with_edge",
        "        if edge is not None and not unroll:\n            flat = with_edge",
        "tests/test_engine_gradients.py -k hand_gradients_on_unrolled",
    ),
    Fault(
        "recording_is_seen_by_other_threads",
        "_running = threading.local()",
        '_running = type("Shared", (), {})()',
        "tests/test_gate_history.py -k another_thread",
        file="recording.py",
    ),
    Fault(
        "random_steps_run_in_the_fast_loop",
        "if step.side_effects or stateful:",
        "if step.side_effects:",
        "tests/test_engine_cells.py -k random_numbers",
    ),
    Fault(
        "tensors_of_others_lose_their_gradient",
        "    if foreign:\n",
        "    if foreign and not plans:\n",
        'tests/test_engine_cells.py -k "not_its_own or from_outside"',
    ),
    Fault(
        "one_device_less_than_asked_for",
        'MirroredStrategy([f"CPU:{k}" for k in range(count)])',
        'MirroredStrategy([f"CPU:{k}" for k in range(count - 1)])',
        "tests/test_tuning_searches.py::test_a_trial_on_two_devices",
    ),
    Fault(
        "longer_sizes_are_cut_at_run_time",
        "wrong = tf.not_equal(found, right)",
        "wrong = tf.less(found, right)",
        "tests/test_sizes.py",
    ),
    Fault(
        "products_taken_first_to_last",
        "for i in reversed(range(len(made))):",
        "for i in range(len(made)):",
        GRAPH + "GRU",
    ),
    Fault(
        "tensorboard_steps_are_all_zero",
        "with self.writer.as_default(step):",
        "with self.writer.as_default(0 * step):",
        "tests/test_gate_monitor_training.py::TestTensorBoard",
    ),
    Fault(
        "threads_between_operations_without_limit",
        "tf.config.threading.set_inter_op_parallelism_threads(count)",
        "tf.config.threading.set_inter_op_parallelism_threads(0)",
        "tests/test_package.py -k threads_are_limited",
        missed_by_old_suite=True,
    ),
    Fault(
        "timed_step_leaves_out_the_mask",
        "loss = tf.nn.l2_loss(layer(x, training=True, **options))",
        "loss = tf.nn.l2_loss(layer(x, training=True))",
        "tests/test_bench.py::TestTiming",
    ),
    Fault(
        "diagram_links_weights_of_other_gates",
        "stop_gradients=[t for t in tensors if t is not tensor],",
        "stop_gradients=[],",
        "tests/test_cell_diagram.py",
    ),
    Fault(
        "vectorisation_around_a_function_is_not_seen",
        'graph = getattr(graph, "outer_graph", None)',
        "graph = None",
        "tests/test_engine.py -k gradients_through_a_function",
    ),
]

LAYERS = [
    Fault(
        "learned_states_count_steps",
        "trainable=not counts[k],",
        "trainable=True,",
        "tests/test_clockwork.py -k learned_first_states",
    ),
    Fault(
        "learned_states_begin_at_one",
        "initializer=InitialStateOf(self, k),\n                    trainable",
        'initializer="ones",\n                    trainable',
        "tests/test_layer.py::TestLearnedInitialState",
    ),
    Fault(
        "reset_layer_goes_on_from_copies_of_the_learned_states",
        "self._fresh.assign(1)",
        "self._fresh.assign(0)",
        "tests/test_layer.py::TestLearnedInitialState",
    ),
    Fault(
        "seed_advances_at_inference",
        "            if training:\n                draw_dropout_masks",
        "            if True:\n                draw_dropout_masks",
        'tests/test_layer.py -k "inference or dropout"',
    ),
    Fault(
        "recurrent_dropout_mask_is_kept_for_the_next_call",
        "cell.reset_recurrent_dropout_mask()",
        "cell.get_config()",
        "tests/test_layer.py -k draws_its_mask_anew",
    ),
    Fault(
        "all_states_of_a_backward_layer_in_its_own_order",
        "engine.in_processing_order(result.state_sequences, self._loop_options())",
        "result.state_sequences",
        'tests/test_contract.py::test_all_states_in_input_order -k "GRU"',
    ),
    Fault(
        "all_states_lose_their_mask",
        "return [output_mask] + [None] * states + [mask] * states",
        "return [output_mask] + [None] * states + [None] * states",
        "tests/test_models.py -k all_states",
    ),
    Fault(
        "kept_states_are_not_read",
        "        elif self.stateful:\n",
        "        elif self.stateful and self._fresh is not None:\n",
        'tests/test_contract.py::test_contract -k "GRU-default or Elman-default"',
    ),
    Fault(
        "directions_share_one_dropout_mask",
        "(cell.seed + _BACKWARD_SEED) % 2**32",
        "cell.seed % 2**32",
        "tests/test_layer.py -k directions",
    ),
    Fault(
        "config_forgets_recompute",
        '            "recompute": self.recompute,\n',
        "",
        "tests/test_contract.py::test_config_survives_json tests/test_engine_gradients.py"
        ' tests/test_arguments.py -k "recompute or configuration_keeps or LSTM-default"',
    ),
    Fault(
        "config_of_a_function_is_its_name",
        "        return keras.activations.serialize(value)\n",
        "        return value.__name__\n",
        'tests/test_arguments.py tests/test_layer.py -k "config or lambda or array"',
    ),
    Fault(
        "weights_of_the_same_number_of_values_are_taken",
        "if array.shape != tuple(variable.shape):",
        "if array.size != np.prod(variable.shape):",
        "tests/test_arguments.py::test_weights_that_do_not_fit_change_none",
    ),
    Fault(
        "failed_load_leaves_half_of_the_file",
        "before = [(v, ops.copy(v)) for v in self.variables]",
        "before = [(v, v) for v in self.variables]",
        "tests/test_arguments.py::test_weights_that_do_not_fit_change_none"
        " tests/test_generative_files.py",
    ),
    Fault(
        "registered_under_another_name",
        "keras.saving.register_keras_serializable(package=package",
        "keras.saving.register_keras_serializable(package=package.title()",
        "tests/test_saving.py::test_golden_file_of_the_first_version",
    ),
    Fault(
        "fresh_states_are_read_as_kept_ones",
        'kept = layer.kept_states() if hasattr(layer, "kept_states") else layer.states',
        "kept = layer.states",
        "tests/test_states.py -k fresh_learned",
    ),
    Fault(
        "set_states_are_replaced_by_learned_ones",
        "            self._fresh.assign(0)\n",
        "            self._fresh.assign(self._fresh)\n",
        'tests/test_states.py tests/test_layer.py -k "fresh or Learned"',
    ),
    Fault(
        "constants_of_an_outer_cell_are_forgotten",
        "return within(derived={**context.derived, **values})",
        "return within(derived=dict(values))",
        "tests/test_attention.py tests/test_draw.py tests/test_constants.py",
    ),
]

GENERATIVE = [
    Fault(
        "kl_in_units_of_the_posterior",
        "error = (mean - prior_mean) * ops.exp(-prior_log_scale)",
        "error = (mean - prior_mean) * ops.exp(-log_scale)",
        "tests/test_generative_equations.py -k terms",
    ),
    Fault(
        "warm_up_goes_beyond_one",
        "return ops.minimum(done, 1.0)",
        "return done",
        "tests/test_generative.py -k warm_up",
    ),
    Fault(
        "evaluation_weighs_kl_as_training_does",
        "weight = self.kl_weight if training else 1.0",
        "weight = self.kl_weight",
        "tests/test_generative.py -k warm_up",
    ),
    Fault(
        "importance_weights_are_summed",
        "np.logaddexp.reduce(weights, axis=0) - np.log(len(weights))",
        "np.logaddexp.reduce(weights, axis=0)",
        "tests/test_generative_equations.py -k bounds",
    ),
    Fault(
        "masked_steps_count_in_the_bound",
        "values = ops.where(mask, values, ops.zeros_like(values))",
        "values = ops.where(mask, values, values)",
        "tests/test_generative.py -k masked_steps",
    ),
    Fault(
        "evaluation_takes_the_mean_of_the_posterior",
        "self._evaluating = True",
        "self._evaluating = False",
        "tests/test_generative.py -k evaluation",
    ),
    Fault(
        "bernoulli_draws_the_opposite",
        "ops.cast(noise < ops.sigmoid(logits), logits.dtype)",
        "ops.cast(noise > ops.sigmoid(logits), logits.dtype)",
        'tests/test_generative.py -k "one_model or sampling"',
    ),
    Fault(
        "vrnn_decodes_the_new_state",
        "return ops.concatenate([heads, phi_z, h], axis=-1), tuple(new)",
        "return ops.concatenate([heads, phi_z, new[0]], axis=-1), tuple(new)",
        "tests/test_generative_equations.py -k terms",
    ),
    Fault(
        "storn_scale_is_the_variance",
        "log_scale = log_variance / 2",
        "log_scale = log_variance",
        "tests/test_generative_equations.py -k terms",
    ),
    Fault(
        "storn_step_before_may_be_masked",
        "number = ops.cumsum(real, axis=1) - real",
        "number = ops.cumsum(ops.ones_like(real), axis=1) - 1",
        "tests/test_generative.py -k masked_steps",
    ),
    Fault(
        "draw_error_of_the_logits",
        "self.read(x, x - ops.sigmoid(canvas), h_dec)",
        "self.read(x, x - canvas, h_dec)",
        "tests/test_draw_equations.py -k terms",
    ),
    Fault(
        "draw_stroke_times_its_intensity",
        "filters.write(ops.cast(patch, gamma.dtype), grid) / gamma",
        "filters.write(ops.cast(patch, gamma.dtype), grid) * gamma",
        "tests/test_draw_equations.py -k terms",
    ),
    Fault(
        "draw_grid_counts_pixels_from_one",
        "mu = (pixels + 1) / 2 * (center + 1) - 1 + offsets",
        "mu = (pixels + 1) / 2 * (center + 1) + offsets",
        "tests/test_draw.py -k filters",
    ),
    Fault(
        "bound_is_summed_in_half_precision",
        "parameters, noise = at_least_float32(found.parameters), at_least_float32(noise)",
        "parameters, noise = found.parameters, at_least_float32(noise)",
        "tests/test_generative.py tests/test_draw.py -k precision",
    ),
]

TUNING = [
    Fault(
        "second_run_of_a_trial_is_averaged_with_the_first",
        "trial.metrics = type(trial.metrics)()",
        "trial.metrics = trial.metrics",
        "tests/test_tuning_searches.py -k average",
    ),
    Fault(
        "lost_trial_is_counted_twice",
        "if known is not trial and known.status != RUNNING:",
        "if known is not trial and known.status == FAILED:",
        "tests/test_tuning_searches.py -k taken_for_lost",
    ),
    Fault(
        "trial_died_once_has_failed",
        "        if count < 2:\n",
        "        if count < 1:\n",
        "tests/test_tuning_searches.py -k average",
    ),
    Fault(
        "seed_zero_is_no_seed",
        "*args, seed=seed + 1, max_consecutive",
        "*args, seed=seed, max_consecutive",
        "tests/test_tuning_searches.py -k seed_0",
    ),
    Fault(
        "best_trial_is_the_lowest_of_a_maximum",
        'reverse=self.objective.direction == "max"',
        "reverse=False",
        "tests/test_tuning_searches.py -k equal_scores",
    ),
    Fault(
        "raw_score_is_the_standardised_loss",
        'return scores.get(SQUARE, scores["loss"])',
        'return scores["loss"]',
        "tests/test_tuning_command.py -k raw_numbers",
    ),
    Fault(
        "next_step_counts_where_it_is_masked",
        "self.mask = self.mask[:, :-1] & self.mask[:, 1:]",
        "self.mask = self.mask[:, :-1]",
        "tests/test_tuning_data.py -k next_steps",
    ),
    Fault(
        "baseline_of_symbols_skips_the_last_one_read",
        "real = [np.pad(w, pad[0]) | np.pad(w, pad[1]) for w in wanted]",
        "real = [np.pad(w, pad[0]) for w in wanted]",
        "tests/test_tuning_data.py -k baselines_of_symbols",
    ),
    Fault(
        "statistics_of_masked_steps_too",
        "values[np.asarray(mask, bool)]",
        "values.reshape(-1, values.shape[-1])",
        "tests/test_tuning_data.py -k statistics",
    ),
    Fault(
        "raw_output_is_standardised_again",
        "x * deviation + mean if self.invert else (x - mean) / deviation",
        "x * deviation if self.invert else (x - mean) / deviation",
        "tests/test_tuning_hypermodel.py -k standardises",
    ),
    Fault(
        "retrained_model_is_that_of_the_last_epoch",
        "        model.set_weights(keep.weights)\n",
        "        model.set_weights(model.get_weights())\n",
        "tests/test_tuning_searches.py -k trained_again",
    ),
    Fault(
        "best_epoch_without_those_before",
        "before + trial.best_step + 1 if done",
        "trial.best_step + 1 if done",
        "tests/test_tuning_searches.py -k best_epoch",
    ),
    Fault(
        "layers_before_the_last_return_no_sequences",
        "sequences = return_sequences or k < count - 1",
        "sequences = return_sequences or k < count - 2",
        "tests/test_tuning_parameters.py -k return_sequences",
    ),
    Fault(
        "masked_layers_of_a_trial_get_no_mask",
        "x = layer(x, mask=mask) if self.masked else layer(x)",
        "x = layer(x)",
        "tests/test_tuning_hypermodel.py -k masked_steps",
    ),
]

TOOLS = [
    Fault(
        "compare_scores_the_last_epoch",
        "    model.set_weights(epochs.best_weights)\n",
        "    model.set_weights(model.get_weights())\n",
        "tests/test_compare.py -k validated_best",
    ),
    Fault(
        "compare_trains_on_what_it_reads",
        "self.x, self.y = self.task.train[at], self.task.train[at + 1]",
        "self.x, self.y = self.task.train[at], self.task.train[at]",
        "tests/test_compare.py -k follow_the_text",
    ),
    Fault(
        "runs_of_another_comparison_are_merged",
        'if record is None or record.pop("identity", identity) != identity:',
        'if record is None or record.pop("identity", identity) is None:',
        "tests/test_compare.py::TestStore tests/test_compare_command.py::TestFolder",
    ),
    Fault(
        "failures_of_earlier_commands_are_forgotten",
        "failed = {**self.failed_before, **self.failed}",
        "failed = {**self.failed}",
        "tests/test_compare_command.py -k earlier_commands",
    ),
    Fault(
        "verdict_after_one_standard_error",
        "statistics.fmean(gaps) > 2 * error",
        "statistics.fmean(gaps) > error",
        "tests/test_compare.py -k verdict",
    ),
    Fault(
        "bench_ratio_is_turned_round",
        'over["median_ms"] / under["median_ms"]',
        'under["median_ms"] / over["median_ms"]',
        "tests/test_bench.py::TestReport",
    ),
    Fault(
        "bench_means_count_options_as_shapes",
        '        if not row["option"]:\n',
        "        if row:\n",
        "tests/test_bench.py::TestReport",
    ),
    Fault(
        "text_is_tested_on_what_validated",
        "text[:first], text[first:second], text[second:]",
        "text[:first], text[first:second], text[first:]",
        "tests/test_tasks.py -k cut",
    ),
    Fault(
        "repeated_paragraphs_stay",
        "                seen.add(key)\n",
        "                seen.add(paragraph)\n",
        "tests/test_tasks.py -k repeat",
    ),
    Fault(
        "second_mark_is_never_at_the_last_step",
        "second = rng.integers(half, length, count)",
        "second = rng.integers(half, length - 1, count)",
        "tests/test_tasks.py -k adding",
    ),
    Fault(
        "witten_bell_interpolates_with_counts",
        "(n_pair + t * shorter) / np.maximum(n + t, 1)",
        "(n_pair + n * shorter) / np.maximum(n + n, 1)",
        "tests/test_baselines.py",
    ),
    Fault(
        "digest_without_the_shape",
        "|{array.dtype.str}{array.shape}|",
        "|{array.dtype.str}|",
        "tests/test_tasks.py -k digest",
    ),
    Fault(
        "norms_count_masked_steps",
        "on = np.ones(values.shape[:2], bool) if mask is None else mask",
        "on = np.ones(values.shape[:2], bool)",
        "tests/test_gate_monitor.py -k masked_steps",
    ),
    Fault(
        "half_life_of_the_gate_that_overwrites",
        "name: values if sign > 0 else 1 - values",
        "name: values",
        "tests/test_plots.py -k sign",
    ),
    Fault(
        "half_life_of_the_largest_share",
        'mean = rows.mean(axis=0, dtype="float64")',
        'mean = rows.max(axis=0).astype("float64")',
        "tests/test_gate_monitor.py -k by_hand",
    ),
    Fault(
        "measured_a_batch_late",
        "if self.batches // self.every > last // self.every:",
        "if last and last % self.every == 0:",
        "tests/test_gate_monitor_training.py::TestTensorBoard",
    ),
    Fault(
        "gradient_norms_under_the_names_of_other_layers",
        "_norm([next(slopes) for _ in layer.trainable_weights])",
        "_norm([next(slopes) for _ in layer.trainable_weights[:1]])",
        'tests/test_gate_monitor.py -k "by_hand or one_name"',
    ),
    Fault(
        "gates_of_a_backward_layer_hidden_at_other_steps",
        "gates = {name: _where(mask, value) for name, value in gates.items()}",
        "on = ops.flip(mask, axis=1) if layer.go_backwards else mask\n"
        "            gates = {name: _where(on, value) for name, value in gates.items()}",
        'tests/test_gate_history.py -k "equations and LSTM and True"',
    ),
    Fault(
        "recording_changes_kept_states",
        "kept = [(v, keras.ops.copy(v)) for v in variables.values()]",
        "kept = [(v, v) for v in variables.values()]",
        "tests/test_gate_history.py -k kept",
    ),
    Fault(
        "integral_by_the_left_ends",
        "middles = (np.arange(steps) + 0.5) / steps",
        "middles = np.arange(steps) / steps",
        "tests/test_attribution.py",
    ),
    Fault(
        "occlusion_hides_with_zeros",
        "value(ops.where(hidden, start, x))",
        "value(ops.where(hidden, 0 * start, x))",
        "tests/test_attribution.py -k occlusion",
    ),
    Fault(
        "described_without_the_options",
        "cell = cell_class(units, **options)",
        "cell = cell_class(units)",
        'tests/test_describe.py -k "facts or depends"',
    ),
    Fault(
        "lstm_to_compare_with_has_no_bias",
        '"lstm_parameters": 4 * units * (features + units + 1)',
        '"lstm_parameters": 4 * units * (features + units)',
        'tests/test_describe.py -k "facts or text"',
    ),
    Fault(
        "learning_curves_begin_at_epoch_zero",
        "epochs = [epoch + 1 for epoch in history.epoch] if knows_epochs else []",
        "epochs = [epoch for epoch in history.epoch] if knows_epochs else []",
        'tests/test_plots.py -k "one_and_several"',
    ),
    Fault(
        "limits_of_text_are_those_of_the_values",
        'colours["norm"] = _style.drawing().Normalize(*_ordered(limits))',
        'colours["norm"] = _style.drawing().Normalize()',
        "tests/test_plots.py -k limits",
    ),
]

FAULTS = [*CELLS, *ENGINE, *LAYERS, *GENERATIVE, *TUNING, *TOOLS]
