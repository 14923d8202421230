"""What generative models of sequences share: input, mask, and generation step by step."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_lstm_variants.core import call_checks, checks
from keras_lstm_variants.core.registry import get_variant
from keras_lstm_variants.generative import data
from keras_lstm_variants.generative.likelihoods import LIKELIHOODS
from keras_lstm_variants.generative.model import GenerativeModel


@functools.cache
def built(cell_class: type) -> Any:
    """A small cell of the class, to look at."""
    cell = cell_class(4)
    cell.build((None, 1))
    return cell


@functools.cache
def _shows_first_state(cell_class: type) -> bool:
    """Whether the output of a step is the first of its new states."""
    cell = built(cell_class)
    z = cell.project_inputs(ops.zeros((1, 1)))
    output, new = cell.advance(z, tuple(cell.get_initial_state(1)), False)
    return output is new[0]


def cell_class_of(variant: str) -> type:
    """The cell of a variant whose output is its first state, or a `ValueError`."""
    try:
        found = get_variant(variant).cell_class
    except ValueError as error:
        raise ValueError(
            f"`cell` must be the name of a variant. Received: cell={variant!r}. {error}"
        ) from error
    if not _shows_first_state(found):
        raise ValueError(
            f"`cell` must be a variant whose output is its first state. Received: cell={variant!r}"
        )
    return found


class SequenceModel(GenerativeModel):
    """A generative model of sequences (batch, time, features). See `GenerativeModel`.

    A subclass defines `infer`, `build_for`, `first_states` and `generate`.
    """

    takes_mask = True

    def __init__(self, *args: Any, likelihood: str = "bernoulli", **kwargs: Any) -> None:
        checks.one_of("likelihood", likelihood, LIKELIHOODS)
        super().__init__(*args, **kwargs)
        self.likelihood = likelihood
        self.observation = LIKELIHOODS[likelihood]()
        self.supports_masking = True

    def compute_mask(self, x: Any, previous: Any = None) -> Any:
        return data.mask_of(x, previous)

    @property
    def shape_of_x(self) -> tuple[int | None, ...]:
        return (None, None, getattr(self, "features", None))

    def build_for(self, features: int) -> None:
        """Build all layers, for so many features of x."""
        raise NotImplementedError

    def first_states(self, n: int) -> list[Any]:
        """The states before the first step of `generate`."""
        raise NotImplementedError

    def generate(
        self, states: list[Any], noise: Any, draw: Callable[[Any], Any]
    ) -> tuple[Any, Any, list[Any]]:
        """One step: the parameters of p(x_t | ...), x_t = draw(parameters), new states."""
        raise NotImplementedError

    def build(self, input_shape: Any) -> None:
        shape = input_shape["x"] if isinstance(input_shape, dict) else input_shape
        checks.shape("x", shape, (None, None, None))
        self.features = checks.features(self.name, shape)
        self.build_for(self.features)

    def unpack(self, x: Any, mask: Any) -> tuple[Any, Any]:
        x, mask = data.parts(self, x, mask)
        x = ops.convert_to_tensor(x)
        if not keras.backend.is_float_dtype(x.dtype):
            x = ops.cast(x, self.compute_dtype)
        x = self.fitted("x", x, self.shape_of_x)
        if mask is None:
            return x, None
        mask = call_checks.as_mask("mask", mask)
        mask = self.fitted("mask", mask, ops.shape(x)[:2])
        # What is masked may be anything, also no number.
        return ops.where(mask[..., None], x, ops.zeros_like(x)), mask

    def noise_shape(self, x: Any) -> tuple[Any, ...]:
        return (*ops.shape(x)[:2], self.latent_units)

    def sample(
        self,
        n: int,
        steps: int,
        seed: int | None = None,
        noise: dict[str, Any] | None = None,
        means: bool = False,
    ) -> np.ndarray:
        """Draw n sequences from the model: latents from the prior, and each x_t is fed back.

        Args:
            n: number of sequences, a positive integer.
            steps: their length, a positive integer.
            seed: integer or None; the same seed gives the same sequences.
            noise: the noise instead: a dict of `"z"`, standard normal (n, steps, latent
                units), and `"x"` (n, steps, features), uniform in [0, 1) for Bernoulli and
                standard normal for Gaussian observations.
            means: return the mean of each p(x_t | ...) instead of the x_t drawn from it.

        Returns:
            (n, steps, features).

        Raises:
            ValueError: an argument is out of its range, or the model is not built.
        """
        n = checks.positive_integer("n", n)
        steps = checks.positive_integer("steps", steps)
        means = checks.flag("means", means)
        generator = self.generator(seed)
        self.check_built()
        shapes = {"z": (n, steps, self.latent_units), "x": (n, steps, self.features)}
        if noise is None:
            noise = {
                "z": keras.random.normal(shapes["z"], seed=generator),
                "x": self.observation.noise(shapes["x"], seed=generator),
            }
        elif not isinstance(noise, dict) or set(noise) != set(shapes):
            raise ValueError('`noise` must be a dict with the keys "x" and "z".')
        noise = {
            k: ops.cast(ops.convert_to_tensor(v), self.compute_dtype) for k, v in noise.items()
        }
        for name, shape in shapes.items():
            checks.shape(f"noise[{name!r}]", noise[name].shape, shape)
        found = []
        with self.own_precision():
            states = self.first_states(n)
            for t in range(steps):
                parameters, x, states = self.generate(
                    states,
                    noise["z"][:, t],
                    lambda p, t=t: self.observation.draw(p, noise["x"][:, t]),
                )
                found.append(self.observation.mean(parameters) if means else x)
        return ops.convert_to_numpy(ops.stack(found, axis=1))
