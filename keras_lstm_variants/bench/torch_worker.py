"""Contenders that run on torch. Run by its path: nothing here may import the package."""

from collections.abc import Callable
from typing import Any

# Where the package torchrecurrent has another name for a variant of ours.
_NAMES = {"LSTM1997": "OriginalLSTM"}


_default = {"threads": 1}


def start(threads: int) -> None:
    _default["threads"] = threads


def clear() -> None:
    pass


def make(contender: dict[str, Any]) -> Callable[[], Any] | None:
    """A function that runs the contender once; None if it does not exist."""
    import torch

    batch, time, features, units = contender["shape"]
    torch.manual_seed(0)
    layer = make_layer(contender["side"], contender, features, units)
    if layer is None:
        return None
    x = torch.randn(batch, time, features)
    threads = contender["threads"] or _default["threads"]

    def infer() -> Any:
        with torch.inference_mode():
            return layer(x)[0][0, 0, 0].item()

    if contender["kind"] == "step":
        run = training_step(layer, x)
    else:
        layer.eval()
        run = infer

    def with_threads() -> Any:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        return run()

    return with_threads


def make_layer(side: str, contender: dict[str, Any], features: int, units: int) -> Any:
    if side == "torch":
        import torch

        kind = getattr(torch.nn, contender["yardstick"])
    else:
        import torchrecurrent

        variant = contender["variant"]
        kind = getattr(torchrecurrent, _NAMES.get(variant, variant), None)
    return None if kind is None else kind(features, units, batch_first=True)


def training_step(
    layer: Any, x: Any, *, input_gradient: bool = True, last: bool = False
) -> Callable[[], float]:
    """As `backend.timing.training_step`: a loss and all gradients, and nothing is updated.

    With `last`, the loss is that of the last step's output alone.
    """
    import torch

    sources = list(layer.parameters())
    if input_gradient:
        sources.append(x.requires_grad_())
    layer.train()

    def step() -> float:
        y = layer(x)[0]
        y = y[:, -1] if last else y
        # The gradient of half the sum of squares is the output itself.
        torch.autograd.grad(y, sources, grad_outputs=y.detach(), allow_unused=True)
        return torch.linalg.vector_norm(y.detach()).item() ** 2 / 2

    return step
