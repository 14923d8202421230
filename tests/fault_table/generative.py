"""Faults of generative models."""

from fault_table.fault import Fault

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
