"""A drawn world of coloured shapes, and a tiny model with random towers that looks at it.

The towers are those of the product, only small: a random EfficientNet-Lite whose batch norms were
calibrated on drawn pictures, and a one-layer BERT over a vocabulary of words. Their features are
good enough to learn the drawn world from, and cost a fraction of a second.
"""

import csv
import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn

from wordsight.bundle import BundleConfig, Similarity, write_bundle
from wordsight.images import Preprocessing, prepare_batch
from wordsight.model.bert import BertConfig, BertSentenceEncoder
from wordsight.model.efficientnet import EfficientNetLite, EfficientNetLiteConfig
from wordsight.model.graph import attach_head, export_tower, read_graph
from wordsight.model.heads import ImageHead, TextHead
from wordsight.model.two_tower import ImageTower, TextTower, describe, save_towers
from wordsight.text import TokenizerRules

COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 180, 40),
    "blue": (40, 60, 220),
    "yellow": (230, 220, 40),
    "white": (245, 245, 245),
    "black": (10, 10, 10),
}
SHAPES = ("circle", "square", "triangle", "cross")
WORDS = ("a", "an", "the", "of", "on", "photo", "picture", "table", "test", "close", "-", "up")
WORDS += (".", ",", "cat", "dog", "big", "small", "thin", "line")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
SIZE, EMBED = 32, 16
RULES = TokenizerRules(cleaning="none", context_length=16, pad_id=0, start_id=2, end_id=3)
PREPROCESSING = Preprocessing(size=SIZE, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
IMAGE_CONFIG = EfficientNetLiteConfig(
    image_size=SIZE, width_multiplier=0.25, depth_multiplier=0.1, feature_dim=48, num_classes=5
)
TEMPLATES = '[en]\ntemplates = ["a {}", "a photo of a {}."]\n'


def words() -> list[str]:
    return [*SPECIAL, *COLOURS, *SHAPES, *WORDS, *(f"word{n}" for n in range(400))]


TEXT_CONFIG = BertConfig(
    vocab_size=len(words()), width=32, depth=1, num_heads=4, mlp_width=64, max_positions=32
)


def tokenizer_json() -> bytes:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    vocabulary = {word: index for index, word in enumerate(words())}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer.to_str().encode()


def draw(shape: str, colour: str, seed: int, size: int = 48) -> Image.Image:
    """A shape somewhere on a blurred random background; every seed gives another picture."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(60, 190, (4, 4, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC)
    pen, fill = ImageDraw.Draw(picture), COLOURS[colour]
    radius = int(rng.integers(size // 5, size // 3))
    x, y = (int(v) for v in rng.integers(radius, size - radius, 2))
    box = (x - radius, y - radius, x + radius, y + radius)
    if shape == "circle":
        pen.ellipse(box, fill=fill)
    elif shape == "square":
        pen.rectangle(box, fill=fill)
    elif shape == "triangle":
        pen.polygon([(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)], fill)
    else:
        pen.line((x - radius, y, x + radius, y), fill, radius // 2)
        pen.line((x, y - radius, x, y + radius), fill, radius // 2)
    return picture


def write_world(folder: Path, count: int, *, sentence: str = "a {colour} {shape}") -> Path:
    """Draw `count` pictures with a table `pairs.csv`; colours and shapes take turns."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "pairs.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "text"])
        for number in range(count):
            colour = list(COLOURS)[number % len(COLOURS)]
            shape = SHAPES[number // len(COLOURS) % len(SHAPES)]
            draw(shape, colour, number).save(folder / f"{number}.png")
            text = sentence.format(colour=colour, shape=shape, number=number)
            table.writerow([f"{number}.png", text])
    return folder


def image_tower(seed: int = 0) -> EfficientNetLite:
    torch.manual_seed(seed)
    tower = EfficientNetLite(IMAGE_CONFIG)
    for module in tower.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # running mean of all batches
    pictures = [draw(SHAPES[n % 4], list(COLOURS)[n % 6], 10_000 + n) for n in range(64)]
    tower.train()
    with torch.no_grad():
        tower(torch.from_numpy(prepare_batch(pictures, PREPROCESSING).pixels))
    return tower.eval()


def text_tower(seed: int = 0) -> BertSentenceEncoder:
    torch.manual_seed(seed)
    return BertSentenceEncoder(TEXT_CONFIG).eval()


def heads(seed: int = 0, *, classes: int = 5) -> tuple[ImageHead, TextHead]:
    torch.manual_seed(seed)
    image = ImageHead(IMAGE_CONFIG.feature_dim, classes, EMBED)
    with torch.no_grad():
        image.mean.uniform_(0, 1)
        image.deviation.uniform_(0.5, 1.5)
    return image.eval(), TextHead(TEXT_CONFIG.width, EMBED).eval()


def export(module: nn.Module, path: Path, *, outputs: Sequence[str], is_text: bool) -> None:
    """Export a tower; torch's exporter uses what newer Pythons deprecate, which is not ours."""
    if is_text:
        example, axes = torch.full((2, 7), 5, dtype=torch.int64), ("batch", "length")
    else:
        example, axes = torch.zeros(2, 3, SIZE, SIZE), ("batch",)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        export_tower(module, example, path, outputs=outputs, dynamic_axes=axes)


def config(
    name: str = "tiny", *, towers: tuple[nn.Module, nn.Module] | None = None
) -> BundleConfig:
    architecture = {}
    if towers:
        architecture = {"image": describe(towers[0]), "text": describe(towers[1])}
    return BundleConfig(
        name=name,
        embed_dim=EMBED,
        similarity=Similarity(scale=20.0),
        preprocessing=PREPROCESSING,
        tokenizer=RULES,
        architecture=architecture,
        class_names=("one", "two", "three", "four", "five"),
        provenance={"licence": "CC0"},
    )


def build_bundle(folder: Path) -> Path:
    """Write the tiny bundle with all three kinds of weights; `towers/` beside it holds no heads."""
    towers = image_tower(), text_tower()
    image_head, text_head = heads()
    bare = folder / "towers"
    bare.mkdir(parents=True)
    export(towers[0], bare / "image.onnx", outputs=("features", "logits"), is_text=False)
    export(towers[1], bare / "text.onnx", outputs=("features",), is_text=True)
    image = attach_head(read_graph(bare / "image.onnx"), image_head)
    text = attach_head(read_graph(bare / "text.onnx"), text_head)
    export(ColourTower(), bare / "colours.onnx", outputs=("features",), is_text=False)
    common = {"tokenizer.json": tokenizer_json(), "prompts.toml": TEMPLATES.encode()}
    write_bundle(
        folder / "tiny",
        config(towers=towers),
        {
            **common,
            "image.onnx": image.SerializeToString(deterministic=True),
            "text.onnx": text.SerializeToString(deterministic=True),
            "model.safetensors": save_towers(
                ImageTower(towers[0], image_head), TextTower(towers[1], text_head)
            ),
            "README.md": b"# tiny\n",
        },
    )
    write_bundle(
        folder / "headless",
        config("headless"),
        {
            **common,
            "image.onnx": (bare / "image.onnx").read_bytes(),
            "text.onnx": (bare / "text.onnx").read_bytes(),
        },
    )
    return folder


def rewrite_sums(folder: Path) -> None:
    """Do what an attacker does: make the checksums fit the files that are there."""
    import hashlib

    names = [p.name for p in sorted(folder.iterdir()) if p.name != "SHA256SUMS" and p.is_file()]
    lines = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    (folder / "SHA256SUMS").write_text("".join(lines))


def change_config(folder: Path, **changes: object) -> None:
    """Change keys of config.json and make the checksums fit."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    rewrite_sums(folder)


class ColourTower(nn.Module):
    """An image tower that sees colours only: how much of the picture is near each of 27."""

    def __init__(self) -> None:
        super().__init__()
        levels = torch.linspace(-1.8, 2.2, 3)  # of pictures normalised as ImageNet's
        self.register_buffer("palette", torch.cartesian_prod(levels, levels, levels))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        palette: torch.Tensor = self.palette  # type: ignore[assignment]
        distance = (pixels.flatten(2).unsqueeze(1) - palette[None, :, :, None]).square().sum(2)
        return (-4 * distance).softmax(dim=1).mean(dim=2)
