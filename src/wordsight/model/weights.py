"""Putting weights into a module that was made without any."""

from collections.abc import Mapping

from torch import Tensor, nn

from wordsight.errors import BundleError


def fit_weights(module: nn.Module, weights: Mapping[str, Tensor], *, where: str) -> None:
    """Give a module on torch's meta device its weights, in the types it wants.

    Args:
        module: is changed.
        weights: by the names of the module's state; each is asked for once.
        where: what they come from, for messages.

    Raises:
        BundleError: naming the layer, if one is missing, too many, or of another shape.
    """
    expected = module.state_dict()
    for name in expected:
        if name not in weights:
            raise BundleError(f"{where}: layer {name!r} is missing")
    for name in weights:
        if name not in expected:
            raise BundleError(f"{where}: layer {name!r} is not part of the architecture")
    fitting: dict[str, Tensor] = {}
    for name, shell in expected.items():
        value = weights[name]
        if value.shape != shell.shape:
            shapes = f"{tuple(value.shape)}, expected {tuple(shell.shape)}"
            raise BundleError(f"{where}: layer {name!r} has shape {shapes}")
        fitting[name] = value.to(shell.dtype)
    module.load_state_dict(fitting, assign=True)
