"""A BERT encoder of a few thousand weights with its own tokeniser, made on the spot."""

from __future__ import annotations

import json
from pathlib import Path

WORDS = "the parcel arrives on monday express orders take one day refund three days hello world a b c"
WINDOW = 16


def make_tiny_encoder(folder: Path, window: int = WINDOW, seed: int = 0) -> Path:
    """Write the files of a random two-layer BERT and return the folder."""
    import torch
    from transformers import BertConfig, BertModel

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary_size = write_tokeniser(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=vocabulary_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        # Ten times the usual, so that texts lie far apart and a wrong position or mask shows.
        initializer_range=0.2,
    )
    BertModel(config, add_pooling_layer=False).eval().save_pretrained(folder, safe_serialization=True)
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": window}))
    return folder


def write_tokeniser(folder: Path) -> int:
    """Train a WordPiece tokeniser on a few words, write it, and return the size of its vocabulary."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    letters = list("abcdefghijklmnopqrstuvwxyz0123456789.,?!")
    trainer = trainers.WordPieceTrainer(
        vocab_size=200, special_tokens=specials, initial_alphabet=letters, show_progress=False
    )
    tokenizer.train_from_iterator([WORDS] * 5, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    # Truncation and padding as published models have them: the engine must switch both off.
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(folder / "tokenizer.json"))
    return int(tokenizer.get_vocab_size())
