"""The variational recurrent network."""

import dataclasses
from typing import Any

from keras import ops

from keras_lstm_variants.core import checks
from keras_lstm_variants.core.bases import AffineCell
from keras_lstm_variants.core.cell import Cell
from keras_lstm_variants.core.registry import register
from keras_lstm_variants.core.state import SideInput, States
from keras_lstm_variants.generative import gaussian
from keras_lstm_variants.generative.model import Inference
from keras_lstm_variants.generative.sequences import SequenceModel, built, cell_class_of
from keras_lstm_variants.layers.recurrent_layer import RecurrentLayer


class VRNNCell(Cell):
    """The part of a VRNN that needs the last state: posterior, latent, and new state.

    Input: x_t, and the noise as side input. Output: [posterior heads, phi_z(z_t), h_{t-1}], of
    which prior, likelihood and KL can be computed for all steps at once. See `VRNN`.
    """

    def __init__(
        self, units: int, latent_units: int, hidden_units: int, cell: str, **kwargs: Any
    ) -> None:
        super().__init__(units, **kwargs)
        self.latent_units = latent_units
        self.hidden_units = hidden_units
        self.cell = cell
        self.rnn = cell_class_of(cell)(units, dtype=self.dtype_policy, name="rnn")
        self.side_inputs = (SideInput("noise", size="latent_units", dtype=None, required=True),)
        self.states = tuple(
            dataclasses.replace(state, size=state.size_in(self.rnn)) for state in self.rnn.states
        )

    @property
    def output_size(self) -> int:
        return 2 * self.latent_units + self.hidden_units + self.units

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        return self.rnn.get_initial_state(batch_size)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        m = input_shape[-1]
        n, k, q = self.units, self.latent_units, self.hidden_units

        def kernel(name: str, rows: int, columns: int) -> Any:
            return self.add_weight(name=f"{name}_kernel", shape=(rows, columns))

        def bias(name: str, size: int, initializer: Any = "zeros") -> Any:
            return self.add_weight(name=f"{name}_bias", shape=(size,), initializer=initializer)

        self.phi_x_kernel, self.phi_x_bias = kernel("phi_x", m, q), bias("phi_x", q)
        self.posterior_kernel = kernel("posterior", q, q)
        self.posterior_recurrent_kernel = kernel("posterior_recurrent", n, q)
        self.posterior_bias = bias("posterior", q)
        self.heads_kernel = kernel("posterior_heads", q, 2 * k)
        self.heads_bias = bias("posterior_heads", 2 * k, gaussian.softplus_heads_bias)
        self.phi_z_kernel, self.phi_z_bias = kernel("phi_z", k, q), bias("phi_z", q)
        self.rnn.build((None, 2 * q))
        self.rnn_kernel_of_z = self.derived(lambda: self.rnn.kernel[q:])

    def project_inputs(self, inputs: Any, training: bool = False, *, noise: Any) -> Any:
        phi_x = self.phi_x(inputs)
        return {
            "posterior": ops.matmul(phi_x, self.posterior_kernel) + self.posterior_bias,
            "rnn": self.project_phi_x(phi_x),
            "noise": noise,
        }

    def phi_x(self, x: Any) -> Any:
        return ops.relu(ops.matmul(x, self.phi_x_kernel) + self.phi_x_bias)

    def project_phi_x(self, phi_x: Any) -> Any:
        """What phi_x(x) adds to the projected input of the recurrent cell, bias included."""
        return self.rnn.add_bias(ops.matmul(phi_x, self.rnn.kernel[: self.hidden_units]))

    def phi_z(self, latent: Any) -> Any:
        return ops.relu(self.matmul(latent, self.phi_z_kernel) + self.phi_z_bias)

    def recur(self, projected: Any, phi_z: Any, states: States, training: bool = False) -> States:
        """h_t = RNN([phi_x, phi_z], h_{t-1}), given what phi_x makes of it."""
        z = self.matmul(phi_z, self.rnn_kernel_of_z, add_to=projected)
        return self.rnn.step(z, states, training)[1]

    def step(self, z: Any, states: States, training: bool = False) -> tuple[Any, States]:
        h = states[0]
        hidden = self.matmul(h, self.posterior_recurrent_kernel, add_to=z["posterior"])
        heads = self.matmul(ops.relu(hidden), self.heads_kernel) + self.heads_bias
        mean, raw = ops.split(heads, 2, axis=-1)
        phi_z = self.phi_z(mean + gaussian.softplus_scale(raw) * z["noise"])
        new = self.recur(z["rnn"], phi_z, states, training)
        return ops.concatenate([heads, phi_z, h], axis=-1), tuple(new)


@register
class VRNN(SequenceModel):
    r"""The variational recurrent network: a latent variable at every step of a recurrent net.

    $$\text{prior} \quad z_t \sim N(\mu_0, \sigma_0^2), \quad
      (\mu_0, \sigma_0) = \varphi_{prior}(h_{t-1})$$
    $$\text{posterior} \quad z_t \sim N(\mu, \sigma^2), \quad
      (\mu, \sigma) = \varphi_{enc}(\varphi_x(x_t), h_{t-1})$$
    $$x_t \sim p(x_t \mid \varphi_{dec}(\varphi_z(z_t), h_{t-1})) \qquad
      h_t = RNN([\varphi_x(x_t), \varphi_z(z_t)], h_{t-1})$$

    Each $\varphi$ is a layer of ReLUs; $\varphi_{prior}$, $\varphi_{enc}$ and $\varphi_{dec}$ have
    linear heads on top. A scale is softplus(head) + 1e-4, and the heads' biases start at 0.6 for
    a scale near 1. With `prior="standard"` (VRNN-I) the prior is $N(0, I)$.

    Trained by `compile(optimizer)` and `fit(x)` on minus the evidence lower bound; see `Call
    arguments` for masks. The loss, and the metrics `reconstruction` (the mean of -log p(x | z))
    and `kl`, are in nats a sequence: sums over the features and the unmasked steps.

    Reference: Chung, Kastner, Dinh, Goel, Courville & Bengio 2015, A recurrent latent variable
    model for sequential data, arXiv 1506.02216. The biases and the floor of the scales are those
    of the authors' code; the paper's networks have more layers in each $\varphi$.

    Weights, for m features, n units, k latent and q hidden units, in this order: in the cell
    `phi_x_kernel` (m, q), `phi_x_bias` (q,), `posterior_kernel` (q, q) for phi_x,
    `posterior_recurrent_kernel` (n, q) for h, `posterior_bias` (q,), `posterior_heads_kernel`
    (q, 2k) with the columns [mean, raw scale], `posterior_heads_bias` (2k,), `phi_z_kernel`
    (k, q), `phi_z_bias` (q,), and those of the recurrent cell, whose `kernel` has the rows
    [phi_x, phi_z]; then kernel and bias of each of `prior_hidden` (n, q), `prior_heads` (q, 2k)
    with the columns [mean, raw scale], `decoder_hidden` (q + n, q) with the rows [phi_z, h], and
    `decoder_heads` (q, m), or (q, 2m) with the columns [mean, raw scale] for Gaussian x. VRNN-I
    has no prior layers. Not trained: `training_steps`.

    Args:
        units: positive integer, the size of h.
        latent_units: positive integer, the size of z_t.
        hidden_units: positive integer, the size of each phi; None: `units`.
        likelihood: `"bernoulli"`: x in [0, 1]; `"gaussian"`: any numbers, with a mean and a
            scale of their own at each step.
        prior: `"learned"`, or `"standard"` (VRNN-I).
        cell: the recurrent cell: the name of a variant whose input enters as `x W + b`, such
            as `"LSTM"`, `"GRU"`, `"Elman"`, `"PeepholeLSTM"`.
        kl_warm_up: number of training steps over which the weight of KL in the loss rises
            linearly from 0 to 1; 0: it is always 1, as it is in `evaluate`.
        engine: `"auto"`, `"xla"` or `"plain"`, see `RecurrentLayer`.
        seed: integer or None, the seed of the noise in training and evaluation.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        x: (batch, time, features), or `{"x": x, "mask": mask}`, in which form `fit`,
            `evaluate` and `predict` take a mask.
        mask: bool (batch, time), False for the steps to skip, in any pattern: the same as if
            they were not there.
        training: whether to draw z, to count the step and to weigh KL by the warm-up.
        noise: standard normal (batch, time, latent units), instead of the model's own; the
            loss is then computed at inference, too.

        Returns the means of p(x | z) (batch, time, features), at inference without `noise` for
        z at the posterior's mean.

    Raises:
        ValueError: an argument or an input is not of the form above.

    Example:
        >>> import keras, numpy as np, keras_lstm_variants as klv
        >>> x = np.random.default_rng(0).integers(2, size=(8, 5, 3)).astype("float32")
        >>> model = klv.VRNN(8, 2, seed=0)
        >>> model.compile("adam")
        >>> sorted(model.fit(x, verbose=0).history)
        ['kl', 'loss', 'reconstruction']
        >>> model.reconstruct(x).shape, model.elbo(x).shape, model.sample(2, steps=7).shape
        ((8, 5, 3), (8,), (2, 7, 3))
    """

    def __init__(
        self,
        units: int,
        latent_units: int,
        hidden_units: int | None = None,
        *,
        prior: str = "learned",
        cell: str = "LSTM",
        **kwargs: Any,
    ) -> None:
        units = checks.positive_integer("units", units)
        if hidden_units is not None:
            hidden_units = checks.positive_integer("hidden_units", hidden_units)
        checks.one_of("prior", prior, ("learned", "standard"))
        kind = cell_class_of(cell)
        affine = kind.project_inputs is AffineCell.project_inputs
        if not affine or built(kind).kernel_norm is not None:
            raise ValueError(
                "`cell` must be a variant whose input enters as `x W + b`, such as "
                f"'LSTM', 'GRU' or 'Elman'. Received: cell={cell!r}"
            )
        super().__init__(latent_units, **kwargs)
        self.units = units
        self.hidden_units = hidden_units
        self.prior = prior
        self.cell = cell
        q = units if hidden_units is None else hidden_units
        self.recurrence = RecurrentLayer(
            VRNNCell(units, self.latent_units, q, cell, dtype=self.dtype_policy, name="vrnn_cell"),
            return_sequences=True,
            engine=self.engine,
            dtype=self.dtype_policy,
            name="recurrence",
        )
        self.prior_hidden = self.prior_heads = None
        if prior == "learned":
            self.prior_hidden = self.dense("prior_hidden", q, activation="relu")
            self.prior_heads = self.gaussian_heads("prior_heads")
        self.decoder_hidden = self.dense("decoder_hidden", q, activation="relu")

    def build_for(self, features: int) -> None:
        cell, n = self.recurrence.cell, self.units
        self.recurrence.build((None, None, features))
        if self.prior == "learned":
            self.prior_hidden.build((None, n))
            self.prior_heads.build((None, cell.hidden_units))
        self.decoder_hidden.build((None, cell.hidden_units + n))
        self.decoder_heads = self.observation_heads("decoder_heads", features)
        self.decoder_heads.build((None, cell.hidden_units))

    def prior_of(self, h: Any) -> tuple[Any, Any]:
        """Mean and logarithm of the scale of z_t, given h_{t-1}."""
        if self.prior == "standard":
            zeros = ops.zeros((*ops.shape(h)[:-1], self.latent_units), dtype=h.dtype)
            return zeros, zeros
        return gaussian.of_softplus_heads(self.prior_heads(self.prior_hidden(h)))

    def decode(self, phi_z: Any, h: Any) -> Any:
        """The parameters of p(x_t | z_t, h_{t-1})."""
        return self.decoder_heads(self.decoder_hidden(ops.concatenate([phi_z, h], axis=-1)))

    def infer(self, x: Any, mask: Any, noise: Any) -> Inference:
        x = ops.cast(x, self.compute_dtype)
        outputs = self.recurrence(x, noise=noise, mask=mask)
        k, q = self.latent_units, self.recurrence.cell.hidden_units
        heads, phi_z, h = ops.split(outputs, [2 * k, 2 * k + q], axis=-1)
        return Inference(gaussian.of_softplus_heads(heads), self.prior_of(h), self.decode(phi_z, h))

    def first_states(self, n: int) -> list[Any]:
        return self.recurrence.cell.get_initial_state(n)

    def generate(self, states: Any, noise: Any, draw: Any) -> tuple[Any, Any, list[Any]]:
        cell, h = self.recurrence.cell, states[0]
        mean, log_scale = self.prior_of(h)
        phi_z = cell.phi_z(mean + ops.exp(log_scale) * noise)
        parameters = self.decode(phi_z, h)
        x = draw(parameters)
        return parameters, x, list(cell.recur(cell.project_phi_x(cell.phi_x(x)), phi_z, states))
