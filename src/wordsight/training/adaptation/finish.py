"""Writing down what the towers learnt."""

import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from wordsight.bundle import BundleConfig, open_bundle
from wordsight.bundle.classifier import BundleClassifier
from wordsight.bundle.prompts import Prompts
from wordsight.bundle.store import PROMPTS, TOKENIZER, WEIGHTS
from wordsight.checkpoints.bundle_format import bundle_config
from wordsight.checkpoints.safetensors_file import write_safetensors
from wordsight.checkpoints.tensors import in_memory
from wordsight.config import to_dict
from wordsight.engine.loading import is_bundle
from wordsight.model.lora import Adapter, adapter_metadata
from wordsight.training.adaptation.order import Order
from wordsight.training.adaptation.start import Start
from wordsight.training.adaptation.writing import Adapted, Content, Outcome, copied, write_adapted
from wordsight.training.assemble import prompts_toml
from wordsight.training.contrastive.run import RunFolder

ADAPTER = "adapter.safetensors"


def write_tuned(
    order: Order,
    start: Start,
    folder: RunFolder,
    weights: Mapping[str, Tensor],
    outcome: Outcome,
    *,
    classifier: BundleClassifier | None,
    adapter: Adapter | None,
    provenance: Mapping[str, Any],
) -> Adapted:
    """Write the bundle, and beside it what LoRA learnt."""
    path = None
    if adapter is not None:
        path = folder.path / ADAPTER
        tensors = {name: in_memory(value) for name, value in adapter.tensors.items()}
        write_safetensors(path, tensors, adapter_metadata(adapter.config))
    if order.config.method == "prompts" and is_bundle(order.model):  # its towers are as they were
        name = order.out.resolve().name
        config, files = copied(open_bundle(order.model), name=name, provenance=provenance)
    else:
        config, files = towers(order, start, weights, provenance)
    settings = json.dumps(to_dict(order.config), indent=1) + "\n"
    bundle = write_adapted(
        order.out, config, files, outcome, classifier=classifier, run={"config.json": settings}
    )
    return Adapted(bundle, outcome, path)


def towers(
    order: Order, start: Start, weights: Mapping[str, Tensor], provenance: Mapping[str, Any]
) -> tuple[BundleConfig, dict[str, Content]]:
    """Return config and files of a bundle with these weights and torch's towers alone."""
    checkpoint = start.with_weights(weights, name=order.out.resolve().name)
    config = bundle_config(checkpoint)
    config.provenance.update(provenance)
    files: dict[str, Content] = {
        WEIGHTS: lambda path: write_safetensors(path, checkpoint.weights),
        TOKENIZER: start.tokenizer.to_bytes(),
    }
    if start.prompts != Prompts():
        files[PROMPTS] = prompts_toml(dict(start.prompts.templates)).encode()
    return config, files
