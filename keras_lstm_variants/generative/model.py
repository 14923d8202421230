"""What the generative models share: the bound, its training, and how it is estimated."""

from contextlib import contextmanager
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_lstm_variants.backend import graphs
from keras_lstm_variants.core import call_checks, checks, functions
from keras_lstm_variants.core.configured import Configured
from keras_lstm_variants.core.keras_private import AutocastScope
from keras_lstm_variants.core.weight_checks import CheckedModel
from keras_lstm_variants.engine import fitted
from keras_lstm_variants.generative import data, gaussian
from keras_lstm_variants.generative.estimator import Untracked
from keras_lstm_variants.generative.likelihoods import Bernoulli
from keras_lstm_variants.generative.precision import at_least_float32

# Of copies of x, for several draws of the noise.
_ROWS_AT_ONCE = 1024


class Inference(NamedTuple):
    """What a model computes of x for given noise. Gaussians are (mean, logarithm of scale)."""

    posterior: tuple[Any, Any]  # (batch, steps, latent units) each
    prior: tuple[Any, Any]
    parameters: Any  # of p(x | latents)


class Terms(NamedTuple):
    """Of each sequence or image, in nats: (batch,) each."""

    log_likelihood: Any  # log p(x | z)
    kl: Any  # the sum of KL(q(z_t | ...) || p(z_t | ...)) over steps
    log_ratio: Any  # log p(z) - log q(z | x)


class GenerativeModel(CheckedModel, Configured, keras.Model):
    """A model with latent variables, trained by `compile(optimizer)` and `fit(x)`.

    A subclass defines `infer`, `unpack`, `shape_of_x` and `noise_shape`.

    The loss is minus the evidence lower bound, the mean over the batch of

    $$-\\log p(x | z) + w \\sum_t KL(q(z_t | \\ldots) \\| p(z_t | \\ldots)), \\quad
      z = \\mu + \\sigma \\odot \\epsilon$$

    with sums over steps and features, in nats, and one draw of the noise $\\epsilon$. The weight w
    is 1 in `evaluate`. Metrics: `reconstruction`, the mean of $-\\log p(x | z)$, and `kl`.

    Args:
        latent_units: positive integer, the size of z at each step.
        kl_warm_up: number of training steps over which w rises linearly from 0 to 1; 0: none.
        engine: see `RecurrentLayer`.
        seed: integer or None, the seed of the noise in training and evaluation.
        **kwargs: `name`, `dtype`, `trainable`.

    Raises:
        ValueError: an argument is out of its range. By `compile`: a loss or metrics. By `fit`,
            `evaluate` and `predict`, before any work, or for data sets and generators at the
            batch: data of another shape, or numbers that have no likelihood. Data sets that a
            `tf.distribute` strategy has divided already are taken as they are.
    """

    may_change = ("kl_warm_up",)
    # The distribution p(x | parameters).
    observation: Any = Bernoulli()
    takes_mask = False

    fit, evaluate, predict = map(data.checked, ("fit", "evaluate", "predict"))
    train_on_batch, test_on_batch = map(data.checked, ("train_on_batch", "test_on_batch"))
    predict_on_batch = data.checked("predict_on_batch")

    def __init__(
        self,
        latent_units: int,
        *,
        kl_warm_up: int = 0,
        engine: str = "auto",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        latent_units = checks.positive_integer("latent_units", latent_units)
        kl_warm_up = checks.whole_number("kl_warm_up", kl_warm_up)
        checks.one_of("engine", engine, ("auto", "xla", "plain"))
        seed = checks.seed("seed", seed)
        functions.check_dtype(kwargs.get("dtype"))
        # The likelihood is computed of x as it is given, whatever the layers compute in.
        super().__init__(autocast=False, **kwargs)
        self.latent_units = latent_units
        self.kl_warm_up = kl_warm_up
        self.engine = engine
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.training_steps = self.add_weight(
            name="training_steps",
            shape=(),
            dtype="int64",
            initializer="zeros",
            trainable=False,
            aggregation="only_first_replica",
        )
        self.reconstruction_mean = keras.metrics.Mean(name="reconstruction")
        self.kl_mean = keras.metrics.Mean(name="kl")
        self._evaluating = False
        self._estimator = Untracked()

    # What a subclass defines.

    def infer(self, x: Any, mask: Any, noise: Any) -> Inference:
        """Posterior, prior and parameters of x, for standard normal noise."""
        raise NotImplementedError

    def unpack(self, x: Any, mask: Any) -> tuple[Any, Any]:
        """x and its mask, or None, as `infer` wants them; errors for what does not fit."""
        raise NotImplementedError

    @property
    def shape_of_x(self) -> tuple[int | None, ...]:
        """As far as it is known."""
        raise NotImplementedError

    def noise_shape(self, x: Any) -> tuple[Any, ...]:
        """Of the noise for x: (batch, steps, latent units)."""
        raise NotImplementedError

    # Training.

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        given = {"loss": loss, "loss_weights": loss_weights}
        given |= {"metrics": metrics, "weighted_metrics": weighted_metrics}
        for name, value in given.items():
            if value is not None and value != []:
                raise ValueError(
                    f"{self.name} has a loss and metrics of its own: `{name}` must be None. "
                    f"Received: {name}={value!r}"
                )
        super().compile(optimizer, **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        # Keras asks for it where `compile` is overridden.
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    def call(self, x: Any, mask: Any = None, training: bool = False, noise: Any = None) -> Any:
        x, mask = self.unpack(x, mask)
        if graphs.is_eager():
            self.observation.check("x", ops.convert_to_numpy(x))
        drawn = training or self._evaluating or noise is not None
        noise = self._noise(x, noise, drawn)
        with self.own_precision():
            found = self.infer(x, mask, noise)
        if drawn:
            terms = _terms(self.observation, x, mask, noise, found)
            weight = self.kl_weight if training else 1.0
            self.add_loss(ops.mean(weight * terms.kl - terms.log_likelihood))
            self.reconstruction_mean.update_state(-terms.log_likelihood)
            self.kl_mean.update_state(terms.kl)
        if training:
            self.training_steps.assign_add(1)
        return self.shaped(self.observation.mean(found.parameters))

    def shaped(self, x: Any) -> Any:
        """What is like x for the model, as the caller wants it."""
        return x

    @property
    def kl_weight(self) -> Any:
        """The weight of KL in the next training step."""
        if not self.kl_warm_up:
            return 1.0
        done = ops.cast(self.training_steps, "float32") / self.kl_warm_up
        return ops.minimum(done, 1.0)

    def _noise(self, x: Any, noise: Any, drawn: bool) -> Any:
        """The noise as given or drawn; zeros, for the mean of the posterior, where none is."""
        shape = self.noise_shape(x)
        if noise is not None:
            noise = self.fitted("noise", ops.convert_to_tensor(noise), shape)
            return ops.cast(noise, self.compute_dtype)
        if drawn:
            return keras.random.normal(shape, dtype=self.compute_dtype, seed=self.seed_generator)
        return ops.zeros(shape, dtype=self.compute_dtype)

    def fitted(self, name: str, value: Any, wanted: tuple[Any, ...]) -> Any:
        """`value`, or an error, at run time where it must be, if it has not this shape."""
        known = tuple(size if isinstance(size, int) else None for size in wanted)
        checks.shape(name, value.shape, known)
        return fitted(f"`{name}` of {self.name} must have the shape {known}", value, wanted)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        if y is not None:
            raise ValueError(
                f"{self.name} learns to model x alone: `y` must be None. Received: y={y!r}"
            )
        return super().compute_loss(x=x, y=y, y_pred=y_pred, training=training)

    def test_step(self, *args: Any) -> Any:
        # `evaluate` estimates the bound, with noise; `predict` takes the posterior's mean.
        self._evaluating = True
        try:
            return super().test_step(*args)
        finally:
            self._evaluating = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call_checks.check_training(kwargs.get("training"))
        return super().__call__(*args, **kwargs)

    def dense(self, name: str, size: int, **options: Any) -> keras.layers.Layer:
        """A dense layer in the model's precision."""
        return keras.layers.Dense(size, dtype=self.dtype_policy, name=name, **options)

    def gaussian_heads(self, name: str) -> keras.layers.Layer:
        """The linear layer [mean, raw scale] of a latent variable."""
        bias = gaussian.softplus_heads_bias
        return self.dense(name, 2 * self.latent_units, bias_initializer=bias)

    def observation_heads(self, name: str, features: int) -> keras.layers.Layer:
        """The linear layer of the parameters of p(x | ...)."""
        bias = self.observation.initial_bias
        return self.dense(name, self.observation.columns * features, bias_initializer=bias)

    @contextmanager
    def own_precision(self):
        """While active, weights read in the precision that the model computes in."""
        with AutocastScope(self.compute_dtype):
            yield

    # Estimates.

    def reconstruct(self, x: Any, mask: Any = None, batch_size: int = 32) -> np.ndarray:
        """The means of p(x | z), with z at the posterior's mean at every step.

        Args:
            x: as for `fit`.
            mask: as for the call, or None.
            batch_size: how many rows to compute at once.

        Returns:
            Numbers like x.
        """
        batch_size = checks.positive_integer("batch_size", batch_size)
        return self.predict(data.arrays(self, x, mask), batch_size=batch_size, verbose=0)

    def elbo(
        self,
        x: Any,
        mask: Any = None,
        samples: int = 1,
        seed: int | None = None,
        noise: Any = None,
        batch_size: int = 32,
    ) -> np.ndarray:
        """The evidence lower bound of each row: log p(x | z) - KL, the mean over draws of z.

        Args:
            x: as for `fit`.
            mask: as for the call, or None.
            samples: number of draws.
            seed: of the draws; None: the model's own.
            noise: the draws' noise instead, standard normal (samples, batch, steps, latent
                units).
            batch_size: how many rows to compute at once.

        Returns:
            (batch,) in nats.

        Raises:
            ValueError: an argument is out of its range.
        """
        drawn = self._draws(x, mask, samples, seed, noise, batch_size)
        return np.mean(drawn["log_likelihood"] - drawn["kl"], axis=0)

    def importance_weighted(
        self,
        x: Any,
        mask: Any = None,
        samples: int = 50,
        seed: int | None = None,
        noise: Any = None,
        batch_size: int = 32,
    ) -> np.ndarray:
        r"""A tighter bound on log p(x) of each row: the logarithm of the mean importance weight.

        $$\log \frac{1}{K} \sum_{k=1}^K p(x | z_k)\, p(z_k) / q(z_k | x), \quad z_k \sim q$$

        Its expectation is at least that of `elbo`, and tends to log p(x) with K.

        Reference: Burda, Grosse & Salakhutdinov 2016, Importance weighted autoencoders,
        arXiv 1509.00519.

        Args:
            x, mask, seed, noise, batch_size: see `elbo`.
            samples: K.

        Returns:
            (batch,) in nats.

        Raises:
            ValueError: an argument is out of its range.
        """
        drawn = self._draws(x, mask, samples, seed, noise, batch_size)
        weights = drawn["log_likelihood"].astype("float64") + drawn["log_ratio"]
        return np.logaddexp.reduce(weights, axis=0) - np.log(len(weights))

    def _draws(
        self, x: Any, mask: Any, samples: int, seed: Any, noise: Any, batch_size: int
    ) -> dict[str, np.ndarray]:
        """The terms of the bound, (samples, batch) each."""
        samples = checks.positive_integer("samples", samples)
        batch_size = checks.positive_integer("batch_size", batch_size)
        self.check_built()
        given = data.arrays(self, x, mask)
        shape = self.noise_shape(given["x"])
        if noise is None:
            noise = keras.random.normal((samples, *shape), seed=self.generator(seed))
        noise = ops.convert_to_numpy(noise)
        checks.shape("noise", noise.shape, (None, *shape))
        estimator, found = self._estimator.of(self), []
        # Several draws at once where there are few rows.
        at_once = max(1, _ROWS_AT_ONCE // max(1, shape[0]))
        for part in np.split(noise, range(at_once, len(noise), at_once)):
            copies = {k: np.concatenate([v] * len(part)) for k, v in given.items()}
            copies["noise"] = part.reshape(-1, *shape[1:])
            terms = estimator.predict(copies, batch_size=batch_size, verbose=0)
            found.append({k: v.reshape(len(part), -1) for k, v in terms.items()})
        return {k: np.concatenate([f[k] for f in found]) for k in found[0]}

    def check_built(self) -> None:
        if not self.built:
            raise ValueError(
                f"{self.name} has no weights yet: `fit` it, or call it on data, first."
            )

    def generator(self, seed: int | None) -> keras.random.SeedGenerator:
        """What draws with this seed; None: as the model itself draws."""
        seed = checks.seed("seed", seed)
        return self.seed_generator if seed is None else keras.random.SeedGenerator(seed)

    def terms(self, x: Any, mask: Any, noise: Any) -> Terms:
        """The terms of the bound of each row, for standard normal noise."""
        x, mask = self.unpack(x, mask)
        noise = self._noise(x, noise, True)
        with self.own_precision():
            found = self.infer(x, mask, noise)
        return _terms(self.observation, x, mask, noise, found)


def _terms(observation: Any, x: Any, mask: Any, noise: Any, found: Inference) -> Terms:
    def total(values: Any) -> Any:
        """The sum over features, and over steps that are not masked: (batch,)."""
        values = ops.sum(values, axis=-1)
        if len(values.shape) == 1:
            return values
        if mask is not None:
            values = ops.where(mask, values, ops.zeros_like(values))
        return ops.sum(values, axis=1)

    posterior, prior = ([at_least_float32(v) for v in g] for g in (found.posterior, found.prior))
    parameters, noise = at_least_float32(found.parameters), at_least_float32(noise)
    z = posterior[0] + ops.exp(posterior[1]) * noise
    log_posterior = gaussian.log_density(z, *posterior)
    return Terms(
        total(observation.log_density(ops.cast(x, parameters.dtype), parameters)),
        total(gaussian.kl(*posterior, *prior)),
        total(gaussian.log_density(z, *prior) - log_posterior),
    )
