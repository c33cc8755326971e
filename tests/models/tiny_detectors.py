"""Detectors of random weights, the same for the same seed, on the packaged trunk or on a small one made here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from evalsvc.detection.adapter import FORMAT, Adapter, Calibration, Card, Source, Task, Threshold, write
from evalsvc.detection.heads import BESIDE
from evalsvc.detection.marks import MARKS
from evalsvc.engine.models import ModelFiles, locate

TASKS = ("toxicity", "prompt_injection", "refusal")
WINDOWS = {"pairs": (128, 192), "texts": (256,)}


def make_small_trunk(folder: Path, seed: int = 0) -> Path:
    """Write a random two-layer BERT with the packaged model's tokeniser and return the folder."""
    import torch
    from transformers import BertConfig, BertModel

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=30522, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=512, initializer_range=0.2,
    )  # fmt: skip
    BertModel(config, add_pooling_layer=False).eval().save_pretrained(folder, safe_serialization=True)
    shutil.copy(locate("all-MiniLM-L6-v2").folder / "tokenizer.json", folder)
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 256}))
    return folder


def make_adapter(
    reads: str = "texts", trunk: str = "all-MiniLM-L6-v2", seed: int = 0, rank: int = 2, size: float = 0.05, **card
) -> Adapter:
    """Return an adapter of random tensors; ``card`` replaces fields of its card."""
    import torch

    files = locate(trunk)
    config = files.read_json("config.json")
    random = torch.Generator().manual_seed(seed)
    tasks = {
        name: Task(
            Calibration(1.0 + place / 4, -0.1 * place),
            Threshold(0.5, "false_alarms", 0.01),
            (Source("made", "CC0-1.0", 10, 5),),
        )
        for place, name in enumerate(("faithfulness",) if reads == "pairs" else TASKS)
    }
    fields = {
        "reads": reads, "version": 3, "trunk": files.name, "trunk_revision": files.revision,
        "window": WINDOWS[reads], "tasks": tasks, "data": "0" * 64, "seed": seed,
        "format": FORMAT,
    }  # fmt: skip
    tensors = {
        name: torch.randn(*shape, generator=random) * size + (1.0 if name.endswith("norm.weight") else 0.0)
        for name, shape in _shapes(reads, config, rank, card.get("layers")).items()
    }
    return Adapter(Card(**{**fields, **card}), tensors)


def make_detector(path: Path, reads: str = "texts", **options) -> Path:
    """Write the file of :func:`make_adapter`."""
    write(path, make_adapter(reads, **options))
    return path


def trunk_weights(files: ModelFiles):
    """Return the trunk's tensors under their names without ``bert.``."""
    from safetensors.torch import load_file

    weights = load_file(str(files.folder / "model.safetensors"))
    return {name.removeprefix("bert."): tensor for name, tensor in weights.items()}


def _shapes(reads: str, config: dict, rank: int, layers: int | None) -> dict[str, tuple[int, ...]]:
    width, wide = config["hidden_size"], config["intermediate_size"]
    parts = {
        "qkv": (3 * width, width),
        "attention_output": (width, width),
        "intermediate": (wide, width),
        "output": (width, wide),
    }
    shapes: dict[str, tuple[int, ...]] = {"types": (2, width)}
    norms = ["embedding_norm"]
    for layer in range(layers or config["num_hidden_layers"]):
        for part, (out, into) in parts.items():
            shapes[f"layer.{layer}.{part}.down"] = (rank, into)
            shapes[f"layer.{layer}.{part}.up"] = (out, rank)
        norms += [f"layer.{layer}.attention_norm", f"layer.{layer}.output_norm"]
    for norm in norms:
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    if reads == "texts":
        return shapes | {"head.texts.weight": (len(TASKS), width), "head.texts.bias": (len(TASKS),)}
    heads = {f"head.{name}.{what}": (2, width + BESIDE)[: 2 if what == "weight" else 1]
             for name in ("token", "mean") for what in ("weight", "bias")}  # fmt: skip
    return shapes | {"marks": (MARKS, width)} | heads
