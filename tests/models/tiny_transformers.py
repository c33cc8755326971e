"""Causal models and classifiers of a few thousand weights with their own tokenisers, made on the spot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from models.tiny_encoder import WORDS, write_tokeniser


def make_tiny_causal(folder: Path, positions: int = 32, seed: int = 0) -> Path:
    """Write a random two-layer GPT-2 with a byte-level tokeniser (no text is unknown to it); return the folder."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([WORDS] * 5, trainer)
    tokenizer.enable_truncation(8)
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=tokenizer.get_vocab_size(),
        n_positions=positions,
        n_embd=32,
        n_layer=2,
        n_head=4,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.2,
    )
    GPT2LMHeadModel(config).eval().save_pretrained(folder)
    return folder


def make_tiny_classifier(
    folder: Path, labels: Sequence[str] | int, *, tokens: bool = False, positions: int = 64, seed: int = 0
) -> Path:
    """Write a random two-layer BERT with a classifier for pairs, or for tokens, and return the folder.

    Args:
        folder: where to.
        labels: the labels' names in the order of the logits, or how many there are.
        tokens: whether it classifies tokens instead of sequences.
        positions: the window.
        seed: of the weights.
    """
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertForTokenClassification

    folder.mkdir(parents=True, exist_ok=True)
    size = write_tokeniser(folder)
    join_pairs(folder / "tokenizer.json")
    torch.manual_seed(seed)
    names = [f"LABEL_{index}" for index in range(labels)] if isinstance(labels, int) else list(labels)
    config = BertConfig(
        vocab_size=size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=positions,
        initializer_range=0.2,
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
    )
    build = BertForTokenClassification if tokens else BertForSequenceClassification
    build(config).eval().save_pretrained(folder)
    return folder


def join_pairs(path: Path) -> None:
    """Give the tokeniser BERT's way to join two texts; without it AutoTokenizer's BERT would differ by version."""
    from tokenizers import Tokenizer, processors

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.save(str(path))


def rename_labels(folder: Path, names: Sequence[str]) -> None:
    """Write other names of the labels into a model's configuration; the weights stay."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["id2label"] = {str(index): name for index, name in enumerate(names)}
    config["label2id"] = {name: index for index, name in enumerate(names)}
    path.write_text(json.dumps(config))
