"""Faults of `klv tune` and Keras Tuner's search."""

from fault_table.fault import Fault

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
