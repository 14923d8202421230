"""Faults of side inputs, parallel forms, and the cells that they were made for."""

from fault_table.fault import EQUATIONS, Fault

SIDE = "tests/test_side_inputs.py"
PARALLEL = "tests/test_parallel.py"

PROTOCOL = [
    Fault(
        "times_backwards_are_not_turned",
        "value = _from_the_end(value, mask)",
        "value = value",
        SIDE + " -k times_against_numpy",
    ),
    Fault(
        "times_backwards_count_from_a_masked_step",
        "real = ops.where(mask, times, least)",
        "real = times",
        SIDE + " -k times_against_numpy",
    ),
    Fault(
        "side_inputs_are_cast_to_half_precision",
        "value = ops.convert_to_tensor(exact(layer, name, given[name]))",
        "value = ops.convert_to_tensor(given[name])",
        SIDE + " -k half_precision",
    ),
    Fault(
        "float32_states_are_cast_to_half_precision",
        'given = keras.tree.flatten(exact(self, "states", states))',
        "given = keras.tree.flatten(states)",
        SIDE + " -k half_precision",
    ),
    Fault(
        "initial_states_are_cast_to_half_precision",
        'initial_state = exact(self, "initial_state", initial_state)',
        "initial_state = initial_state",
        SIDE + " -k half_precision",
    ),
    Fault(
        "gradient_of_a_side_input_left_out",
        "d_x = [tf.zeros_like(v) if d is None else d for v, d in zip(x, found[:n], strict=True)]",
        "d_x = [found[0], *map(tf.zeros_like, x[1:])]",
        SIDE + " -k gradients_by_side_inputs",
    ),
    Fault(
        "a_side_input_of_one_row_for_all",
        "value = engine.fitted(rule, value, ops.shape(sequences)[:2])",
        "value = value + ops.zeros(ops.shape(sequences)[:2])",
        SIDE + " -k only_run_time_knows",
    ),
    Fault(
        "a_side_input_that_is_needed_may_be_left_out",
        "if value is None and side.required:",
        "if False:",
        SIDE + " -k that_is_needed",
    ),
    Fault(
        "a_stack_hands_side_inputs_to_its_first_cell_alone",
        "mine = {name: side[name] for name in side_inputs_of(cell) if name in side}",
        "mine = {n: side[n] for n in side_inputs_of(cell) if n in side and not results}",
        SIDE + " -k stack",
    ),
    Fault(
        "phased_time_does_not_go_on",
        "return h, (h, c, time + 1)",
        "return h, (h, c, time)",
        EQUATIONS + "PhasedLSTM",
    ),
    Fault(
        "phased_shift_is_added",
        "cycles = (time - self.shift) / period",
        "cycles = (time + self.shift) / period",
        EQUATIONS + "PhasedLSTM",
    ),
    Fault(
        "phased_output_gate_sees_the_old_memory",
        'o = self.open("o", a, new_c)',
        'o = self.open("o", a, c)',
        EQUATIONS + "PhasedLSTM",
    ),
    Fault(
        "phased_leak_outside_of_training",
        "closed = self.leak * phase if training else ops.zeros_like(phase)",
        "closed = self.leak * phase",
        EQUATIONS + "PhasedLSTM",
    ),
    Fault(
        "phased_no_leak_in_training",
        "closed = self.leak * phase if training else ops.zeros_like(phase)",
        "closed = ops.zeros_like(phase)",
        SIDE + " -k leak",
    ),
    Fault(
        "layer_norm_memory_is_carried_normalised",
        "h = o * self.output_activation(self.state_norm(c) if self.layer_norm else c)",
        "c = self.state_norm(c) if self.layer_norm else c\n"
        "        h = o * self.output_activation(c)",
        EQUATIONS + "LayerNormLSTM",
    ),
    Fault(
        "layer_norm_of_the_sum",
        "return z + self.recurrent_norm(self.recurrent_matmul(h, training=training))",
        "return self.recurrent_norm(z + self.recurrent_matmul(h, training=training))",
        EQUATIONS + "LayerNormLSTM",
    ),
    Fault(
        "layer_norm_of_the_input_after_the_bias",
        "return self.add_bias(z if self.kernel_norm is None else self.kernel_norm(z))",
        "z = self.add_bias(z)\n"
        "        return z if self.kernel_norm is None else self.kernel_norm(z)",
        EQUATIONS + "LayerNormLSTM",
    ),
    Fault(
        "minimal_gru_gate_keeps",
        "return 1 - z, z * g",
        "return z, (1 - z) * g",
        EQUATIONS + "MinGRU",
    ),
    Fault(
        "matrix_keys_are_not_scaled",
        "k = k / self.head_units**0.5",
        "k = k * 1.0",
        EQUATIONS + "MatrixLSTM",
    ),
    Fault(
        "matrix_memory_is_transposed",
        "i[..., None, None] * v[..., None] * k[..., None, :]",
        "i[..., None, None] * k[..., None] * v[..., None, :]",
        EQUATIONS + "MatrixLSTM",
    ),
    Fault(
        "matrix_denominator_without_its_bound",
        "size = ops.maximum(ops.abs(ops.sum(n * q, axis=-1)), bound)",
        "size = ops.abs(ops.sum(n * q, axis=-1))",
        EQUATIONS + "MatrixLSTM",
    ),
    Fault(
        "scan_forgets_the_initial_state",
        "befores = [tf.zeros_like(sums[0][0]) if start is None else start]",
        "befores = [tf.zeros_like(sums[0][0])]",
        PARALLEL + " -k step_by_step",
    ),
    Fault(
        "scan_chunks_do_not_follow_each_other",
        "befores.append(product * befores[-1] + total)",
        "befores.append(total)",
        PARALLEL + " -k step_by_step",
    ),
    Fault(
        "scan_takes_masked_steps",
        "a, b = tf.where(on, a, tf.ones_like(a)), tf.where(on, b, tf.zeros_like(b))",
        "a, b = tf.where(on, a, tf.ones_like(a)), b",
        PARALLEL + " -k step_by_step",
    ),
    Fault(
        "scan_repeats_no_output_at_masked_steps",
        "if not options.zero_output_for_mask:\n            # Repeated",
        "if False:\n            # Repeated",
        PARALLEL + " -k step_by_step",
    ),
    Fault(
        "parallel_form_where_gradients_are_stopped",
        "if options.stop_gradient_every is not None or options.clip_state_gradients is not None:\n"
        "        return",
        "if False:\n        return",
        PARALLEL + " -k left_to_a_loop",
    ),
    Fault(
        "rows_that_see_each_other_are_projected_step_by_step",
        "if isinstance(cell, Cell) and cell.mixes_rows:",
        "if False:",
        PARALLEL + " -k see_each_other",
    ),
    Fault(
        "rows_that_see_each_other_in_the_fast_loop",
        "    if cell.mixes_rows:\n        return",
        "    if False:\n        return",
        PARALLEL + " -k see_each_other",
    ),
    Fault(
        "an_argument_without_a_use_is_taken",
        "for name in cls.not_taken:",
        "for name in ():",
        "tests/test_arguments.py -k no_use",
    ),
]
