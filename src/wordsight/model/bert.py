"""A bidirectional sentence encoder (BERT, Devlin et al., 2018) that averages its tokens.

The text tower of the MiniLM family: post-norm transformer, mean over real tokens, unit length,
as sentence-transformers defines it (Reimers and Gurevych, 2019).

Shape letters: B batch, L tokens, D width.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_DEPTH = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class BertConfig:
    """Shape of the encoder; the defaults are all-MiniLM-L6-v2."""

    vocab_size: int = 30522
    width: int = 384
    depth: int = 6
    num_heads: int = 12
    mlp_width: int = 1536
    max_positions: int = 512
    pad_id: int = 0
    norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        for name in ("vocab_size", "width", "num_heads", "mlp_width", "max_positions"):
            if not 1 <= getattr(self, name) < 1 << 31:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if not 1 <= self.depth <= MAX_DEPTH:
            raise ValueError(f"depth must be 1 to {MAX_DEPTH}, got {self.depth}")
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} does not divide into {self.num_heads} heads")


class BertLayer(nn.Module):
    """Attention, then an MLP, each followed by its shortcut and a layer norm."""

    def __init__(self, config: BertConfig):
        super().__init__()
        width = config.width
        self.num_heads = config.num_heads
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width, eps=config.norm_eps)
        self.expand = nn.Linear(width, config.mlp_width)
        self.project = nn.Linear(config.mlp_width, width)
        self.norm2 = nn.LayerNorm(width, eps=config.norm_eps)

    def forward(self, x: Tensor, is_real: Tensor) -> Tensor:
        """Mix tokens (B, L, D) where `is_real` (B, 1, 1, L) says which are not padding."""
        q, k, v = (
            part(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=is_real)
        x = self.norm1(x + self.out(mixed.transpose(1, 2).flatten(2)))
        return self.norm2(x + self.project(F.gelu(self.expand(x))))


class BertSentenceEncoder(nn.Module):
    """Text tower: token ids to one unit vector per sentence."""

    def __init__(self, config: BertConfig):
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocab_size, config.width)
        self.positions = nn.Embedding(config.max_positions, config.width)
        self.segments = nn.Embedding(2, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.layers = nn.ModuleList(BertLayer(config) for _ in range(config.depth))

    def forward(self, tokens: Tensor) -> Tensor:
        """Map token ids (B, L), padded with `pad_id`, to unit vectors (B, D)."""
        is_real = tokens != self.config.pad_id
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.tokens(tokens) + self.positions(positions) + self.segments.weight[0]
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x, is_real[:, None, None, :])
        weights = is_real.unsqueeze(-1).to(x.dtype)
        mean = (x * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)
        return F.normalize(mean, dim=-1)


RENAMED = {
    "embeddings.word_embeddings.": "tokens.",
    "embeddings.position_embeddings.": "positions.",
    "embeddings.token_type_embeddings.": "segments.",
    "embeddings.LayerNorm.": "norm.",
    "encoder.layer.": "layers.",
    "attention.self.query.": "query.",
    "attention.self.key.": "key.",
    "attention.self.value.": "value.",
    "attention.output.dense.": "out.",
    "attention.output.LayerNorm.": "norm1.",
    "intermediate.dense.": "expand.",
    "output.dense.": "project.",
    "output.LayerNorm.": "norm2.",
}


def rename_public_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Translate key names of a Hugging Face `BertModel` to ours; pooler and ids are left out."""
    renamed: dict[str, Tensor] = {}
    for key, value in weights.items():
        name = key.removeprefix("bert.")
        if name.startswith("pooler.") or name.endswith("position_ids"):
            continue
        for old, new in RENAMED.items():
            name = name.replace(old, new)
        renamed[name] = value
    return renamed
