import copy
from typing import Any

import keras
from keras import ops

from keras_lstm_variants import engine
from keras_lstm_variants.backend import xla
from keras_lstm_variants.cells.attention_layer import AttentionLSTM
from keras_lstm_variants.core import checks
from keras_lstm_variants.core.keras_private import LossFunctionWrapper, get_keras_mask, layers_of
from keras_lstm_variants.core.weight_checks import CheckedModel
from keras_lstm_variants.layers.registration import register


@register
class HardAttentionModel(CheckedModel, keras.Model):
    r"""A functional model that trains the hard attention in it, by REINFORCE.

    What was drawn has no derivative, so that the expected loss is differentiated by

    $$\nabla\, \mathbb{E}[C] = \mathbb{E}\big[\nabla C + (C - b)\, \nabla \log p\big]$$

    with C the loss of a row, p the probability of all that was drawn for it, and b a running
    mean of the losses, $b \leftarrow 0.9\, b + 0.1\, \bar C$: such a baseline leaves the gradient
    unbiased and reduces its variance. The entropy of alpha is rewarded, so that
    attention does not settle too early. Everything else is `compile` and `fit` as usual.

    Reference: Xu et al. 2015, Show, attend and tell, arXiv 1502.03044, section 4.1; Williams
    1992. The weight of the entropy is that of the authors' code, as we remember it.
    Deviations: the loss C is as compiled, a mean over steps by default, not a sum; and who
    takes the expectation instead (`expected_share`) is decided for each row. C is the compiled
    loss; penalties that layers add, as that of coverage, are no part of it.

    Args:
        inputs, outputs: as of every functional model, with one output, whose first axis is the
            batch; among the layers at least one `AttentionLSTM(hard=True)`.
        reinforce_weight: factor of the term with log p. Default 1, the gradient above.
        entropy_weight: factor of the mean entropy, in nats. Default 0.002.
        baseline_momentum: how much of b is kept at a step. Default 0.9. It starts at the mean
            loss of the first batch.
        **kwargs: `name`, `trainable`.

    `compile` takes one loss, with its usual reduction, for the one output. The loss that `fit`
    shows has the weighted entropy taken off, that of `evaluate` has not; `evaluate` and `predict`
    draw nothing, unless the layer has `hard_inference="sample"`. `keras.models.clone_model`
    makes one with the default weights; saving keeps them.

    Raises:
        ValueError: there is no hard attention, or more than one output; a loss that is not one;
            several replicas of a `tf.distribute` strategy.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> x, memory = keras.Input((5, 3)), keras.Input((7, 6))
        >>> y = klv.AttentionLSTM(4, hard=True)(x, memory=memory)
        >>> model = klv.HardAttentionModel([x, memory], keras.layers.Dense(1)(y))
        >>> model.compile("adam", "mse")
        >>> data = [keras.ops.ones((2, 5, 3)), keras.ops.ones((2, 7, 6))], keras.ops.ones((2, 1))
        >>> history = model.fit(*data, verbose=0)
    """

    def __init__(
        self,
        *args: Any,
        reinforce_weight: float = 1.0,
        entropy_weight: float = 0.002,
        baseline_momentum: float = 0.9,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.reinforce_weight = checks.positive_number("reinforce_weight", reinforce_weight)
        self.entropy_weight = checks.not_negative("entropy_weight", entropy_weight)
        self.baseline_momentum = checks.rate("baseline_momentum", baseline_momentum)
        if not self.hard_layers:
            raise ValueError(
                f"{self.name} has no layer `AttentionLSTM(..., hard=True)`: use `keras.Model`."
            )
        if len(keras.tree.flatten(self.outputs)) != 1:
            raise ValueError(
                f"{self.name} must have one output, whose loss is that of the draws. "
                f"Received: {len(keras.tree.flatten(self.outputs))}"
            )
        self.baseline = self.add_weight(name="baseline", initializer="zeros", trainable=False)
        self.rounds = self.add_weight(name="baseline_rounds", initializer="zeros", trainable=False)

    def compile(
        self, optimizer: Any = "rmsprop", loss: Any = None, loss_weights: Any = None, **kwargs: Any
    ) -> None:
        if xla.replica_count() > 1:
            raise ValueError(
                f"{self.name} trains on one device: the running mean of the losses is its own. "
                f"Received: a strategy of {xla.replica_count()} replicas"
            )
        if loss_weights is not None:
            raise ValueError(
                "With one loss, `loss_weights` must be None. "
                f"Received: loss_weights={loss_weights!r}"
            )
        super().compile(optimizer, loss, **kwargs)
        loss = keras.losses.get(self.loss) if isinstance(self.loss, str) else self.loss
        allowed = ("sum_over_batch_size", "mean", "sum")
        if isinstance(loss, keras.losses.Loss):
            self._unreduced, self._reduction = copy.copy(loss), loss.reduction
            self._unreduced.reduction = "none"
        elif callable(loss):
            self._unreduced = LossFunctionWrapper(loss, reduction="none")
            self._reduction = allowed[0]
        else:
            raise ValueError(f"`loss` must be one loss. Received: loss={self.loss!r}")
        checks.one_of("loss.reduction", self._reduction, allowed)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        # Keras asks for it where `compile` is overridden.
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    @property
    def hard_layers(self) -> list[AttentionLSTM]:
        return [la for la in layers_of(self) if isinstance(la, AttentionLSTM) and la.hard]

    def call(self, inputs: Any, training: Any = None, mask: Any = None, **kwargs: Any) -> Any:
        for layer in self.hard_layers:
            layer.draws = []
        return super().call(inputs, training=training, mask=mask, **kwargs)

    def _drawn(self) -> list[dict[str, Any]]:
        """What all hard layers have drawn in the last call of this model, which forgets it."""
        found = []
        for layer in self.hard_layers:
            found += layer.draws or []
            layer.draws = None
        return found

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        loss = super().compute_loss(x, y, y_pred, sample_weight, training=training)
        drawn = self._drawn()
        if not training:
            return loss
        if not drawn:
            raise ValueError(f"Call {self.name} before its loss is computed, in the same function.")
        cost = ops.stop_gradient(self.row_losses(y, y_pred, sample_weight))
        mean = ops.mean(cost)
        baseline = ops.where(self.rounds > 0, self.baseline, mean)
        rule = f"The output of {self.name} must have as many rows as its hard attention"
        rows = [{k: engine.fitted(rule, v, ops.shape(cost)) for k, v in d.items()} for d in drawn]
        log_p = ops.cast(sum(d["log_probability"] for d in rows), cost.dtype)
        entropy = ops.cast(sum(d["entropy"] for d in rows), cost.dtype)
        # A loss that overflowed, a step that a loss-scaling optimizer leaves out, is left out.
        finite = ops.isfinite(mean)
        new = self.baseline_momentum * baseline + (1 - self.baseline_momentum) * mean
        self.baseline.assign(ops.where(finite, new, self.baseline))
        self.rounds.assign(self.rounds + ops.cast(finite, self.rounds.dtype))
        # Its value is of no interest; its gradient is the second term.
        reinforce = ops.mean((cost - baseline) * (log_p - ops.stop_gradient(log_p)))
        return loss + self.reinforce_weight * reinforce - self.entropy_weight * ops.mean(entropy)

    def row_losses(self, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The compiled loss, row by row (batch,): their mean is the loss."""
        y, y_pred = keras.tree.flatten(y)[0], keras.tree.flatten(y_pred)[0]
        if sample_weight is not None:
            sample_weight = keras.tree.flatten(sample_weight)[0]
        values = ops.cast(self._unreduced(y, y_pred, sample_weight), "float32")
        if len(values.shape) == 0:
            raise ValueError(
                "The loss must have a value for each row, to say which draws were good. "
                f"Received: loss={self.loss!r}, whose value is a single number"
            )
        others = tuple(range(1, len(values.shape)))
        if self._reduction == "sum":
            return ops.sum(values, axis=others) * ops.cast(ops.shape(values)[0], "float32")
        mask = get_keras_mask(y_pred)
        if mask is not None:
            # As in Keras, the mean is over what is not masked.
            values = values / ops.maximum(ops.mean(ops.cast(mask, "float32")), 1e-7)
        return ops.mean(values, axis=others)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "reinforce_weight": self.reinforce_weight,
            "entropy_weight": self.entropy_weight,
            "baseline_momentum": self.baseline_momentum,
        }
