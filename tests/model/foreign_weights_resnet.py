"""What open_clip calls the layers of our ResNet, and towers with norms worth comparing."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from wordsight.model.architecture import ModifiedResNetConfig

RULES = (
    (r"^layer(\d)\.(\d+)\.", lambda m: f"stages.{int(m[1]) - 1}.{m[2]}."),
    (r"^(?=(conv|bn)\d)", "stem."),
    (r"\bbn(\d)\.", r"norm\1."),
    (r"\bdownsample\.0\.", "shortcut.conv."),
    (r"\bdownsample\.1\.", "shortcut.norm."),
    (r"^attnpool\.positional_embedding$", "pool.position_embedding"),
    (r"^attnpool\.q_proj\.", "pool.query."),
    (r"^attnpool\.k_proj\.", "pool.key."),
    (r"^attnpool\.v_proj\.", "pool.value."),
    (r"^attnpool\.c_proj\.", "pool.out."),
)


def our_name(theirs: str) -> str:
    for pattern, replacement in RULES:
        theirs = re.sub(pattern, replacement, theirs)  # type: ignore[arg-type]
    return theirs


def ours_from(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {our_name(name): value for name, value in theirs.items()}


def open_clip_resnet(config: ModifiedResNetConfig, seed: int = 0) -> Any:
    """open_clip's tower, with random norms instead of those that make every block do nothing."""
    from open_clip.modified_resnet import ModifiedResNet

    torch.manual_seed(seed)
    tower = ModifiedResNet(
        layers=list(config.depths),
        output_dim=config.output_width,
        heads=config.num_heads,
        image_size=config.image_size,
        width=config.width,
    )
    with torch.no_grad():
        for module in tower.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.3, 1.5)
                module.num_batches_tracked.fill_(7)
    return tower.eval()
