"""The stochastic recurrent network."""

from typing import Any

import keras
from keras import ops

from keras_lstm_variants.core import checks
from keras_lstm_variants.core.registry import register
from keras_lstm_variants.generative.model import Inference
from keras_lstm_variants.generative.sequences import SequenceModel, cell_class_of
from keras_lstm_variants.layers.recurrent_layer import RecurrentLayer


@register
class STORN(SequenceModel):
    r"""The stochastic recurrent network: independent latents enter a recurrent network.

    $$\text{generation} \quad h_t = \tanh(x_{t-1} W_x + z_t W_z + h_{t-1} U + b), \quad
      x_t \sim p(x_t \mid h_t), \quad z_t \sim N(0, I)$$
    $$\text{recognition} \quad k_t = \tanh(x_t V + k_{t-1} U' + b'), \quad
      z_t \sim N(\mu_t, \sigma_t^2), \quad (\mu_t, \log \sigma_t^2) = k_t W + b''$$

    with $x_0 = 0$. Unlike in a VRNN, the prior of z knows nothing of the past, and the posterior
    of $z_t$ sees $x_1 \ldots x_t$, and all of x with `bidirectional=True`, but no earlier z.

    Trained by `compile(optimizer)` and `fit(x)` on minus the evidence lower bound; see `Call
    arguments` for masks. The loss, and the metrics `reconstruction` (the mean of -log p(x | z))
    and `kl`, are in nats a sequence: sums over the features and the unmasked steps.

    Reference: Bayer & Osendorfer 2014, Learning stochastic recurrent networks, arXiv 1411.7610.
    Deviations: the recognition network's heads are the mean and the logarithm of the variance (the
    paper: the variance is the square of an output); other cells than tanh on demand.

    Weights, for m features, n units, k latent and r recognition units, in this order: those of
    the recognition cell, with m inputs (`bidirectional`: then those of the one that goes
    backwards); kernel and bias of `recognition_heads` (r, 2k), (2r, 2k) for `bidirectional`, with
    the columns [mean, log variance]; those of the generating cell, whose `kernel` (m + k, n) has
    the rows [x_{t-1}, z_t]; kernel and bias of `decoder_heads` (n, m), or (n, 2m) with the
    columns [mean, raw scale] for Gaussian x, where scale = softplus(raw) + 1e-4. Not trained:
    `training_steps`.

    Args:
        units: positive integer, the size of h.
        latent_units: positive integer, the size of z_t.
        recognition_units: positive integer, the size of k; None: `units`.
        likelihood: `"bernoulli"`: x in [0, 1]; `"gaussian"`: any numbers, with a mean and a
            scale of their own at each step.
        bidirectional: whether the recognition network also runs from the end.
        cell: the recurrent cell of both networks: the name of a variant whose output is its
            first state, such as `"Elman"` (the equations above), `"LSTM"`, `"GRU"`.
        kl_warm_up: number of training steps over which the weight of KL in the loss rises
            linearly from 0 to 1; 0: it is always 1, as it is in `evaluate`.
        engine: `"auto"`, `"xla"` or `"plain"`, see `RecurrentLayer`.
        seed: integer or None, the seed of the noise in training and evaluation.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments: see `VRNN`.

    Raises:
        ValueError: an argument or an input is not of this form.

    Example:
        >>> import keras, numpy as np, keras_lstm_variants as klv
        >>> x = np.random.default_rng(0).integers(2, size=(8, 5, 3)).astype("float32")
        >>> mask = np.arange(5) < np.array([5, 4, 3, 5, 5, 5, 2, 5])[:, None]
        >>> model = klv.STORN(8, 2, cell="LSTM", seed=0)
        >>> model.compile("adam")
        >>> sorted(model.fit({"x": x, "mask": mask}, verbose=0).history)
        ['kl', 'loss', 'reconstruction']
        >>> model.elbo(x, mask).shape, model.sample(2, steps=7).shape
        ((8,), (2, 7, 3))
    """

    def __init__(
        self,
        units: int,
        latent_units: int,
        recognition_units: int | None = None,
        *,
        bidirectional: bool = False,
        cell: str = "Elman",
        **kwargs: Any,
    ) -> None:
        units = checks.positive_integer("units", units)
        if recognition_units is not None:
            recognition_units = checks.positive_integer("recognition_units", recognition_units)
        bidirectional = checks.flag("bidirectional", bidirectional)
        cell_class_of(cell)
        super().__init__(latent_units, **kwargs)
        self.units = units
        self.recognition_units = recognition_units
        self.bidirectional = bidirectional
        self.cell = cell
        self.recognition = self._recurrent("recognition", recognition_units or units)
        if bidirectional:
            self.recognition = keras.layers.Bidirectional(
                self.recognition, dtype=self.dtype_policy, name="recognition"
            )
            # False in Keras 3.16, which warns where a mask comes in.
            self.recognition.supports_masking = True
        self.recognition_heads = self.dense("recognition_heads", 2 * self.latent_units)
        self.generation = self._recurrent("generation", units)

    def _recurrent(self, name: str, units: int) -> RecurrentLayer:
        """A cell as a layer."""
        own = {"dtype": self.dtype_policy, "name": name}
        cell = cell_class_of(self.cell)(units, **own)
        return RecurrentLayer(cell, return_sequences=True, engine=self.engine, **own)

    def build_for(self, features: int) -> None:
        sides = 2 if self.bidirectional else 1
        self.recognition.build((None, None, features))
        self.recognition_heads.build((None, sides * (self.recognition_units or self.units)))
        self.generation.build((None, None, features + self.latent_units))
        self.decoder_heads = self.observation_heads("decoder_heads", features)
        self.decoder_heads.build((None, self.units))

    def infer(self, x: Any, mask: Any, noise: Any) -> Inference:
        x = ops.cast(x, self.compute_dtype)
        k = self.recognition(x, mask=mask)
        mean, log_variance = ops.split(self.recognition_heads(k), 2, axis=-1)
        log_scale = log_variance / 2
        z = mean + ops.exp(log_scale) * noise
        inputs = ops.concatenate([_step_before(x, mask), z], axis=-1)
        h = self.generation(inputs, mask=mask)
        zeros = ops.zeros_like(z)
        return Inference((mean, log_scale), (zeros, zeros), self.decoder_heads(h))

    def first_states(self, n: int) -> list[Any]:
        x = ops.zeros((n, self.features), dtype=self.compute_dtype)
        return [x, *self.generation.cell.get_initial_state(n)]

    def generate(self, states: Any, noise: Any, draw: Any) -> tuple[Any, Any, list[Any]]:
        x, *states = states
        h, states = self.generation.cell(ops.concatenate([x, noise], axis=-1), states)
        parameters = self.decoder_heads(h)
        x = draw(parameters)
        return parameters, x, [x, *states]


def _step_before(x: Any, mask: Any) -> Any:
    """x (batch, time, features) at the step before that is not masked; zeros at first."""
    zeros = ops.zeros_like(x[:, :1])
    if mask is None:
        return ops.concatenate([zeros, x[:, :-1]], axis=1)
    real = ops.cast(mask, "int32")
    steps = ops.shape(x)[1]
    time = ops.arange(steps, dtype="int32")
    # The real steps first, each group in its order; then the n-th real step is at place n.
    order = ops.argsort(time + steps * (1 - real), axis=1)
    before = ops.concatenate([zeros, ops.take_along_axis(x, order[..., None], axis=1)], axis=1)
    # How many real steps there were: 0 stands for the zeros.
    number = ops.cumsum(real, axis=1) - real
    return ops.take_along_axis(before, number[..., None], axis=1)
