"""Adam whose moments take half the memory (section 2.5: half-precision Adam statistics).

bfloat16 keeps 8 bits of a number. Rounded to the nearest, a moment that changes by less than 1 part
in 256 per step would never change at all; rounded up or down by chance, in proportion to what is
cut off, it is right on average (stochastic rounding, Gupta et al., 2015, arXiv 1502.02551).
"""

from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor

from wordsight.training.contrastive.seeds import mixed

HALF_BITS = 16


def round_stochastically(values: Tensor, generator: torch.Generator) -> Tensor:
    """Round float32 to bfloat16 up or down by chance, so that the mean of many is the value.

    The bits that bfloat16 drops are compared with a random number by adding it: a carry rounds up.
    Infinities and NaN stay what they are.
    """
    bits = values.float().contiguous().view(torch.int32)
    noise = torch.randint(
        0, 1 << HALF_BITS, bits.shape, dtype=torch.int32, generator=generator, device=bits.device
    )
    rounded = ((bits + noise) & -(1 << HALF_BITS)).view(torch.float32)
    return torch.where(values.isfinite(), rounded, values).to(torch.bfloat16)


class HalfMomentAdamW(torch.optim.Optimizer):
    """AdamW (Loshchilov and Hutter, 2019) with both moments in bfloat16.

    What is drawn depends on the seed and the number of the step only, so a resumed run rounds as
    the uninterrupted one would have.
    """

    def __init__(
        self, params: Any, *, betas: tuple[float, float], eps: float, seed: int, lr: float = 0.0
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})
        self.seed = seed

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Move every weight that has a gradient."""
        loss = closure() if closure is not None else None
        number = 0
        for group in self.param_groups:
            for value in group["params"]:
                if value.grad is not None:
                    self._move(value, group, number)
                number += 1
        return loss

    def _move(self, value: Tensor, group: dict[str, Any], number: int) -> None:
        state = self.state[value]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(value, dtype=torch.bfloat16)
            state["exp_avg_sq"] = torch.zeros_like(value, dtype=torch.bfloat16)
        state["step"] += 1
        step = int(state["step"])
        beta1, beta2 = group["betas"]
        assert value.grad is not None
        grad = value.grad.float()
        mean = state["exp_avg"].float().lerp_(grad, 1 - beta1)
        square = state["exp_avg_sq"].float().mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        generator = torch.Generator(value.device).manual_seed(mixed(self.seed, step, number))
        state["exp_avg"] = round_stochastically(mean, generator)
        state["exp_avg_sq"] = round_stochastically(square, generator)
        size = (square / (1 - beta2**step)).sqrt_().add_(group["eps"])
        value.mul_(1 - group["lr"] * group["weight_decay"])
        value.addcdiv_(mean, size, value=-group["lr"] / (1 - beta1**step))
