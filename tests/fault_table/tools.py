"""Faults of `klv compare`, `klv bench`, tasks, analysis and plots."""

from fault_table.fault import Fault

TOOLS = [
    Fault(
        "compare_scores_the_last_epoch",
        "    model.set_weights(epochs.best_weights)\n",
        "    model.set_weights(model.get_weights())\n",
        "tests/test_compare_training.py -k validated_best",
    ),
    Fault(
        "compare_trains_on_what_it_reads",
        "self.x, self.y = self.task.train[at], self.task.train[at + 1]",
        "self.x, self.y = self.task.train[at], self.task.train[at]",
        "tests/test_compare_training.py -k follow_the_text",
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
        "tests/test_number_tasks.py -k adding",
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
        'tests/test_plot_curves.py -k "one_and_several"',
    ),
    Fault(
        "limits_of_text_are_those_of_the_values",
        'colours["norm"] = _style.drawing().Normalize(*_ordered(limits))',
        'colours["norm"] = _style.drawing().Normalize()',
        "tests/test_plots.py -k limits",
    ),
]
