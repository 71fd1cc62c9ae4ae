"""Weights that are computed from what they were and from a few learnt numbers.

Every layer of the model keeps reading its own `weight`, whichever way it uses it, and gets the
changed one; the tensor it was stays as it is.
"""

from collections.abc import Generator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

WEIGHT = "weight"
_INSIDE = f".parametrizations.{WEIGHT}."
_ORIGINAL = f"{_INSIDE}original"


def attach(layer: nn.Module, change: nn.Module) -> None:
    """Let a layer's weight be `change(weight)` from now on; the weight itself is learnt no more."""
    weight = cast(nn.Parameter, layer.weight)
    change.to(weight.device)
    parametrize.register_parametrization(layer, WEIGHT, change)  # pyright: ignore[reportUnknownMemberType]
    weight.requires_grad_(False)


def changes(root: nn.Module) -> Generator[tuple[str, nn.Module]]:
    """Yield every layer's name and what changes its weight."""
    untyped: Any = root
    for name, module in untyped.named_modules():
        if parametrize.is_parametrized(module, WEIGHT):
            yield name, module.parametrizations[WEIGHT][0]


@torch.no_grad()
def plain_weights(root: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state of the model as if it never had been changed: each weight one tensor.

    Args:
        root: the model, with `attach`ed changes.
        state: its state, or an average of several, under the names of `root.state_dict()`.
    """
    found = {name: value for name, value in state.items() if _INSIDE not in name}
    for name, change in changes(root):
        prefix = f"{name}{_INSIDE}0."
        own = {key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)}
        was_training = change.training
        change.eval()
        value = torch.func.functional_call(change, own, (state[f"{name}{_ORIGINAL}"],))
        change.train(was_training)
        found[f"{name}.{WEIGHT}"] = value
    return found
