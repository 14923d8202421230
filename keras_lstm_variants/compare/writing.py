"""Text written by a trained model, symbol after symbol."""

from typing import Any

import keras
import numpy as np


def write_text(
    model: keras.Model,
    symbols: str,
    prompt: str,
    length: int,
    *,
    temperature: float = 0.7,
    seed: int = 0,
) -> str:
    """Continue `prompt` by `length` symbols with a model made by `make_model`.

    Args:
        model: symbols (batch, time) to scores (batch, time, number of symbols).
        symbols: the characters of the ids.
        prompt: what the model reads first; only characters that `symbols` has.
        length: how many characters to write.
        temperature: above 1 bolder, below 1 more careful, than the model's probabilities.
        seed: the same seed writes the same text.

    Returns:
        What was written, without the prompt.
    """
    random = np.random.default_rng(seed)
    ids = {character: k for k, character in enumerate(symbols)}
    recurrent = [layer for layer in model.layers if hasattr(layer, "cell")]
    states = [layer.get_initial_state(1) for layer in recurrent]
    embedding, output = model.get_layer("embedding"), model.get_layer("output")

    def read(character: str) -> Any:
        x = embedding(np.array([ids[character]]))
        for k, layer in enumerate(recurrent):
            x, states[k] = layer.cell(x, states[k])
        return keras.ops.convert_to_numpy(output(x))[0]

    written: list[str] = []
    for character in prompt:
        scores = read(character)
    while len(written) < length:
        # The last symbol stands for unknown characters, and is not written.
        scaled = scores[:-1].astype("float64") / temperature
        chances = np.exp(scaled - scaled.max())
        written.append(symbols[random.choice(len(chances), p=chances / chances.sum())])
        scores = read(written[-1])
    return "".join(written)
