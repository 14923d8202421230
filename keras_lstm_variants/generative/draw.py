"""DRAW, which draws an image step by step."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_lstm_variants.cells.lstm import LSTMCell
from keras_lstm_variants.core import checks
from keras_lstm_variants.core.cell import Cell
from keras_lstm_variants.core.context import derived_as
from keras_lstm_variants.core.registry import register
from keras_lstm_variants.core.state import State, States
from keras_lstm_variants.generative import data, filters
from keras_lstm_variants.generative.model import GenerativeModel, Inference
from keras_lstm_variants.generative.precision import at_least_float32
from keras_lstm_variants.layers.recurrent_layer import RecurrentLayer


class DRAWCell(Cell):
    """One look at the image and one stroke on the canvas; `image` is its constant. See `DRAW`.

    Input: the noise (batch, latent units). Output: the heads [mean, log scale] of the latent.
    """

    states = (
        State("canvas", size="pixels"),
        *(State(name) for name in ("h_enc", "c_enc", "h_dec", "c_dec")),
    )

    def __init__(
        self,
        units: int,
        latent_units: int,
        image_shape: tuple[int, int],
        attention: bool,
        read_size: int,
        write_size: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, **kwargs)
        self.latent_units = latent_units
        self.image_shape = image_shape
        self.attention = attention
        self.read_size, self.write_size = read_size, write_size
        self.encoder = LSTMCell(units, dtype=self.dtype_policy, name="encoder")
        self.decoder = LSTMCell(units, dtype=self.dtype_policy, name="decoder")

    @property
    def pixels(self) -> int:
        return self.image_shape[0] * self.image_shape[1]

    @property
    def output_size(self) -> int:
        return 2 * self.latent_units

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        n, k = self.units, self.latent_units

        def affine(name: str, size: int) -> tuple[Any, Any]:
            return (
                self.add_weight(name=f"{name}_kernel", shape=(n, size)),
                self.add_weight(name=f"{name}_bias", shape=(size,), initializer="zeros"),
            )

        self.heads = affine("heads", 2 * k)
        self.patch = affine("patch", self.write_size**2 if self.attention else self.pixels)
        if self.attention:
            self.read_filters = affine("read", 5)
            self.write_filters = affine("write", 5)
        seen = self.read_size**2 if self.attention else self.pixels
        self.encoder.build((None, 2 * seen + n))
        self.decoder.build((None, k))
        self.image = self.constant("image")

    def affine(self, h: Any, weights: tuple[Any, Any]) -> Any:
        kernel, bias = weights
        return self.matmul(h, kernel) + bias

    def lstm(self, cell: LSTMCell, inputs: Any, states: tuple[Any, Any]) -> tuple[Any, Any]:
        """One step of the encoder or the decoder: new h and c."""
        return cell.step(cell.add_bias(self.matmul(inputs, cell.kernel)), states)[1]

    def filters(self, h_dec: Any, weights: tuple[Any, Any], size: int) -> tuple[Any, Any]:
        return filters.filterbank(
            at_least_float32(self.affine(h_dec, weights)), *self.image_shape, size
        )

    def read(self, x: Any, error: Any, h_dec: Any) -> Any:
        """What is seen of the image, and of what is still missing on the canvas."""
        if not self.attention:
            return ops.concatenate([x, error], axis=-1)
        grid, gamma = self.filters(h_dec, self.read_filters, self.read_size)
        patches = [
            gamma * filters.read(ops.reshape(v, (-1, *self.image_shape)), grid)
            for v in (ops.cast(x, gamma.dtype), ops.cast(error, gamma.dtype))
        ]
        patches = [ops.reshape(p, (-1, self.read_size**2)) for p in patches]
        return ops.cast(ops.concatenate(patches, axis=-1), h_dec.dtype)

    def write(self, h_dec: Any) -> Any:
        """What is added to the canvas."""
        patch = self.affine(h_dec, self.patch)
        if not self.attention:
            return patch
        grid, gamma = self.filters(h_dec, self.write_filters, self.write_size)
        patch = ops.reshape(patch, (-1, self.write_size, self.write_size))
        drawn = filters.write(ops.cast(patch, gamma.dtype), grid) / gamma
        return ops.cast(ops.reshape(drawn, (-1, self.pixels)), h_dec.dtype)

    def draw(self, latent: Any, canvas: Any, states: tuple[Any, Any]) -> tuple[Any, Any, Any]:
        """One stroke: the new canvas, and h and c of the decoder."""
        h_dec, c_dec = self.lstm(self.decoder, latent, states)
        return canvas + self.write(h_dec), h_dec, c_dec

    def step(self, z: Any, states: States, training: bool = False) -> tuple[Any, States]:
        canvas, h_enc, c_enc, h_dec, c_dec = states
        x = self.image.value
        r = self.read(x, x - ops.sigmoid(canvas), h_dec)
        h_enc, c_enc = self.lstm(self.encoder, ops.concatenate([r, h_dec], axis=-1), (h_enc, c_enc))
        heads = self.affine(h_enc, self.heads)
        mean, log_scale = ops.split(heads, 2, axis=-1)
        latent = mean + ops.exp(log_scale) * z
        canvas, h_dec, c_dec = self.draw(latent, canvas, (h_dec, c_dec))
        return heads, (canvas, h_enc, c_enc, h_dec, c_dec)


@register
class DRAW(GenerativeModel):
    r"""DRAW: an image is drawn in steps, each a stroke on a canvas, with or without attention.

    $$\hat x = x - \sigma(c_{t-1}) \qquad r = \text{read}(x, \hat x, h^{dec}_{t-1}) \qquad
      h^{enc}_t = \text{LSTM}([r, h^{dec}_{t-1}], h^{enc}_{t-1})$$
    $$z_t \sim N(\mu, \sigma^2), \quad (\mu, \log \sigma) = h^{enc}_t W + b \qquad
      h^{dec}_t = \text{LSTM}(z_t, h^{dec}_{t-1}) \qquad
      c_t = c_{t-1} + \text{write}(h^{dec}_t)$$

    and, after the last step T, $x \sim \text{Bernoulli}(\sigma(c_T))$; the prior of every $z_t$ is
    $N(0, I)$. Without attention read gives $[x, \hat x]$, and write is $h^{dec} W + b$. With it,
    filters $F_X, F_Y$ of an N x N grid, whose place, stride and width are linear in $h^{dec}$
    (the previous one to read, the current one to write, each with weights of its own), give

    $$\text{read} = \gamma [F_Y x F_X^T, F_Y \hat x F_X^T] \qquad
      \text{write} = \tfrac{1}{\gamma'} F_Y'^T w F_X', \quad w = h^{dec} W + b$$

    See `generative/filters.py` for the filters; pixels count from 0, so that without weights the
    grid is centred on the image and spans it. The initial states are zero.

    Trained by `compile(optimizer)` and `fit(x)` on minus the evidence lower bound. The loss, and
    the metrics `reconstruction` (the mean of -log p(x | z)) and `kl`, are in nats an image: sums
    over pixels and over steps.

    Reference: Gregor, Danihelka, Graves, Rezende & Wierstra 2015, DRAW: a recurrent neural
    network for image generation, arXiv 1502.04623. Deviations: the paper's grid counts pixels from
    1; it learns the initial states' biases.

    Weights, for an image of p pixels, n units, k latent units, N read and N' write size, in this
    order: `heads_kernel` (n, 2k) with the columns [mean, log scale], `heads_bias` (2k,),
    `patch_kernel` (n, N'^2), without attention (n, p), and `patch_bias`; with attention
    `read_kernel` (n, 5), `read_bias` (5,), `write_kernel` (n, 5), `write_bias` (5,) with the
    columns [g_X, g_Y, log variance, log delta, log gamma]; then those of the encoder, whose
    `kernel` (2 N^2 + n, 4n), without attention (2p + n, 4n), has the rows [patch of x, patch of
    the error, h_dec], and of the decoder, with k inputs; both as in `LSTMCell`. Patches and images
    are in row order. Not trained: `training_steps`.

    Args:
        steps: positive integer, the number of steps T.
        units: positive integer, the size of h of encoder and decoder.
        latent_units: positive integer, the size of z_t.
        image_shape: (height, width), two positive integers.
        attention: whether it reads and writes through grids of filters.
        read_size, write_size: positive integers, N to read and to write, at most the longer side
            of the image; without attention they have no effect.
        kl_warm_up: number of training steps over which the weight of KL in the loss rises
            linearly from 0 to 1; 0: it is always 1, as it is in `evaluate`.
        engine: `"auto"`, `"xla"` or `"plain"`, see `RecurrentLayer`.
        seed: integer or None, the seed of the noise in training and evaluation.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        x: (batch, height, width), numbers in [0, 1].
        training: whether to draw z, to count the step and to weigh KL by the warm-up.
        noise: standard normal (batch, steps, latent units), instead of the model's own; the
            loss is then computed at inference, too.

        Returns the means of p(x | z) (batch, height, width), at inference without `noise` for z at
        the posterior's mean.

    Raises:
        ValueError: an argument or an input is not of the form above.

    Example:
        >>> import numpy as np, keras_lstm_variants as klv
        >>> x = np.random.default_rng(0).uniform(size=(8, 6, 5))
        >>> model = klv.DRAW(3, 8, 2, image_shape=(6, 5), write_size=3, seed=0)
        >>> model.compile("adam")
        >>> sorted(model.fit(x, verbose=0).history)
        ['kl', 'loss', 'reconstruction']
        >>> model.reconstruct(x).shape, model.elbo(x).shape, model.sample(2).shape
        ((8, 6, 5), (8,), (2, 6, 5))
    """

    def __init__(
        self,
        steps: int,
        units: int,
        latent_units: int,
        *,
        image_shape: tuple[int, int],
        attention: bool = True,
        read_size: int = 2,
        write_size: int = 5,
        kl_warm_up: int = 0,
        engine: str = "auto",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        steps = checks.positive_integer("steps", steps)
        units = checks.positive_integer("units", units)
        if not isinstance(image_shape, list | tuple) or len(image_shape) != 2:
            raise ValueError(
                "`image_shape` must be a pair (height, width). "
                f"Received: image_shape={image_shape!r}"
            )
        image_shape = tuple(checks.positive_integer("image_shape", s) for s in image_shape)
        attention = checks.flag("attention", attention)
        read_size = checks.positive_integer("read_size", read_size)
        write_size = checks.positive_integer("write_size", write_size)
        # The defaults may be longer than a small image is.
        most = max(*image_shape, 5)
        for name, size in (("read_size", read_size), ("write_size", write_size)):
            if attention and size > most:
                raise ValueError(
                    f"`{name}` must be at most the longer side of the image, or 5: here {most}. "
                    f"Received: {name}={size}, image_shape={image_shape}"
                )
        super().__init__(latent_units, kl_warm_up=kl_warm_up, engine=engine, seed=seed, **kwargs)
        self.steps = steps
        self.units = units
        self.image_shape = image_shape
        self.attention = attention
        self.read_size, self.write_size = read_size, write_size
        own = {"dtype": self.dtype_policy}
        sizes = (units, self.latent_units, image_shape, attention, read_size, write_size)
        self.recurrence = RecurrentLayer(
            DRAWCell(*sizes, **own, name="draw_cell"),
            return_sequences=True,
            return_state=True,
            engine=self.engine,
            **own,
            name="recurrence",
        )

    def build(self, input_shape: Any) -> None:
        shape = input_shape["x"] if isinstance(input_shape, dict) else input_shape
        checks.shape("x", shape, (None, *self.image_shape))
        self.recurrence.build((None, self.steps, self.latent_units))

    @property
    def shape_of_x(self) -> tuple[int | None, ...]:
        return (None, *self.image_shape)

    def unpack(self, x: Any, mask: Any) -> tuple[Any, None]:
        x, _ = data.parts(self, x, mask)
        x = ops.convert_to_tensor(x)
        if not keras.backend.is_float_dtype(x.dtype):
            x = ops.cast(x, self.compute_dtype)
        x = self.fitted("x", x, self.shape_of_x)
        return ops.reshape(x, (-1, self.recurrence.cell.pixels)), None

    def shaped(self, x: Any) -> Any:
        return ops.reshape(x, (-1, *self.image_shape))

    def noise_shape(self, x: Any) -> tuple[Any, ...]:
        return (ops.shape(x)[0], self.steps, self.latent_units)

    def infer(self, x: Any, mask: Any, noise: Any) -> Inference:
        image = self.recurrence.cell.image
        with derived_as({id(image): ops.cast(x, self.compute_dtype)}):
            heads, canvas, *_ = self.recurrence(noise)
        mean, log_scale = ops.split(heads, 2, axis=-1)
        zeros = ops.zeros_like(mean)
        return Inference((mean, log_scale), (zeros, zeros), canvas)

    def sample(
        self,
        n: int,
        seed: int | None = None,
        noise: Any = None,
        every_step: bool = False,
    ) -> np.ndarray:
        """Draw n images from the model, with latents from the prior: the means of p(x | z).

        Args:
            n: number of images, a positive integer.
            seed: integer or None; the same seed gives the same images.
            noise: the latents instead, standard normal (n, steps, latent units).
            every_step: return the means after each step, too.

        Returns:
            (n, height, width), with `every_step` (n, steps, height, width).

        Raises:
            ValueError: an argument is out of its range, or the model is not built.
        """
        n = checks.positive_integer("n", n)
        every_step = checks.flag("every_step", every_step)
        self.check_built()
        shape = (n, self.steps, self.latent_units)
        if noise is None:
            noise = keras.random.normal(shape, seed=self.generator(seed))
        noise = ops.cast(ops.convert_to_tensor(noise), self.compute_dtype)
        checks.shape("noise", noise.shape, shape)
        cell, drawn = self.recurrence.cell, []
        canvas, _, _, h_dec, c_dec = cell.get_initial_state(n)
        with self.own_precision():
            for t in range(self.steps):
                canvas, h_dec, c_dec = cell.draw(noise[:, t], canvas, (h_dec, c_dec))
                drawn.append(canvas)
            images = self.observation.mean(ops.stack(drawn, axis=1))
        images = ops.convert_to_numpy(images).reshape(n, self.steps, *self.image_shape)
        return images if every_step else images[:, -1]
