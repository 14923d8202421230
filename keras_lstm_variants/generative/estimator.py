"""The terms of a model's bound, in graphs and batch by batch."""

from typing import Any

import keras


class Untracked:
    """Holds what Keras must not take for a part of the model."""

    def __init__(self) -> None:
        self.made = None

    def of(self, model: Any) -> "Estimator":
        if self.made is None:
            self.made = Estimator(model)
        return self.made


class Estimator(keras.Model):
    """The terms of a model's bound, for `predict`: in graphs, batch by batch."""

    def __init__(self, model: Any) -> None:
        super().__init__(autocast=False, name="estimator")
        self.model = model

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        terms = self.model.terms(inputs["x"], inputs.get("mask"), inputs["noise"])
        return terms._asdict()
