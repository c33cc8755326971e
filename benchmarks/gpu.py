"""The engine on a GPU: texts and tokens a second beside the libraries that it stands on, and what the card does.

Run: ``python benchmarks/gpu.py [--quick] [--device cuda] [--model FOLDER]``. Needs the extra ``torch``, a CUDA device
(or ``--device cpu``, to try the script) and, for the first part, sentence-transformers and ``../shared/data``. Causal
models are of the size that is named, with random weights: what is measured does not depend on them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _harness import Aim, Row, machine, paired_seconds, table
from evalsvc.engine.settings import DtypeName

if TYPE_CHECKING:
    import torch

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SETS = (
    ("questions", DATA / "traffic" / "banking77" / "visible.jsonl.gz", "text"),
    ("answers", DATA / "faithfulness" / "ragtruth_qa_test" / "visible.jsonl.gz", "response"),
)
DTYPES: tuple[DtypeName, ...] = ("bfloat16", "float32")
PRODUCT = 8192
SMALL_BUDGET = 16_384
ANSWER_TOKENS = 64
PEER_BATCH = 16
SIZES = {
    "GPT-2, 124M": {"model_type": "gpt2", "vocab_size": 50257, "n_positions": 1024},
    "Llama, 1.1B": {
        "model_type": "llama", "vocab_size": 32000, "hidden_size": 2048, "intermediate_size": 5632,
        "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4, "max_position_embeddings": 2048,
    },
}  # fmt: skip


def run(quick: bool, device: str = "cuda", model: str = "all-MiniLM-L6-v2") -> list[Row]:
    """Return the rows; none where there is no such device."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        print("left out: gpu (torch finds no CUDA device)", file=sys.stderr)
        return []
    peak = _product(device, 512 if device == "cpu" else PRODUCT)
    rows = [Row("gpu", f"product of {PRODUCT:,} × {PRODUCT:,} matrices in bfloat16", peak, "TFLOP/s")]
    for name, path, field in SETS:
        if not path.exists():
            print(f"left out: {name} (no {path.parent.name} under shared/data)", file=sys.stderr)
            continue
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            texts = list(dict.fromkeys(str(json.loads(line)[field]) for line in lines))
        random.Random(0).shuffle(texts)
        for dtype in DTYPES:
            rows += _encoder(name, texts[:2000] if quick else texts, dtype, device, model, peak)
        rows.append(_beside_the_cpu(name, texts[:2000], device, model))
    for name, config in SIZES.items():
        if quick and "1.1B" in name:
            continue
        rows += _causal(name, config, device, quick, peak)
    return rows


def _product(device: str, size: int) -> float:
    """Return what the card reaches on one large product: the most that anything here could."""
    import torch

    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        left @ right
    rounds = 3 if device == "cpu" else 20
    _wait(device)
    start = time.perf_counter()
    for _ in range(rounds):
        left @ right
    _wait(device)
    return 2.0 * size**3 * rounds / (time.perf_counter() - start) / 1e12


def _wait(device: str) -> None:
    import torch

    if device != "cpu":
        torch.cuda.synchronize()


def _encoder(name: str, texts: Sequence[str], dtype: DtypeName, device: str, model: str, peak: float) -> list[Row]:
    import torch
    from sentence_transformers import SentenceTransformer

    from evalsvc.engine import Encoder, EngineSettings

    encoder = Encoder.load(EngineSettings(model=model, device=device, dtype=dtype, cache_bytes=0))
    peer = SentenceTransformer(str(encoder.files.folder), device=device, model_kwargs={"dtype": getattr(torch, dtype)})
    # Its default batch of 32 is for small cards; this is the fastest of 32, 128, 512 and 2,048 here.
    batch = min((32, 128, 512, 2048), key=lambda size: _seconds(lambda: _embed(peer, texts[:4000], size)))
    encoder.encode(texts)
    timed = paired_seconds(lambda: encoder.encode(texts), lambda: _embed(peer, texts, batch), rounds=5)
    _reset_memory(device)
    before, start = encoder.stats.snapshot(), time.perf_counter()
    for _ in range(5):
        encoder.encode(texts)
    wall = (time.perf_counter() - start) / 5
    after, memory = encoder.stats.snapshot(), _memory(device)
    tokens, on_device = ((after[key] - before[key]) / 5 for key in ("tokens", "device_seconds"))
    config = peer[0].auto_model.config
    work = _operations(tokens, tokens / len(texts), config.num_hidden_layers, config.hidden_size, 4)
    ours = _least_cosine(encoder, peer, texts[:200])
    what = f"{len(texts):,} {name}, {dtype}"
    return [
        Row("gpu encoder", what, len(texts) / timed.seconds, "texts/s", f"sentence-transformers, {batch} a batch",
            len(texts) / timed.peer_seconds, timed.ratio, Aim("ratio", "≥", 4)),
        Row("gpu encoder", f"{what}: time in the model", 100 * on_device / wall, "% of the clock"),
        Row("gpu encoder", f"{what}: work while in the model", work / on_device / peak / 1e10, "% of the product"),
        Row("gpu encoder", f"{what}: least cosine with the peer's vectors", ours, ""),
        Row("gpu encoder", f"{what}: memory", memory, "MiB"),
    ]  # fmt: skip


def _beside_the_cpu(name: str, texts: Sequence[str], device: str, model: str) -> Row:
    """Return what the device does with its own precision beside all cores with theirs: what a worker has of it."""
    from evalsvc.engine import Encoder, EngineSettings

    here, there = (
        Encoder.load(EngineSettings(model=model, device=place, dtype=dtype, cache_bytes=0))
        for place, dtype in ((device, DTYPES[0]), ("cpu", DTYPES[1]))
    )
    timed = paired_seconds(lambda: here.encode(texts), lambda: there.encode(texts), rounds=3)
    what = f"{len(texts):,} {name}, {DTYPES[0]} on the device"
    return Row("gpu encoder", what, len(texts) / timed.seconds, "texts/s", f"the CPU's cores, {DTYPES[1]}",
               len(texts) / timed.peer_seconds, timed.ratio)  # fmt: skip


def _least_cosine(encoder: Any, peer: Any, texts: Sequence[str]) -> float:  # noqa: ANN401 - the peer ships no types
    """Return the least cosine between both sides' vectors of a text."""
    return float((encoder.encode(texts) * _embed(peer, texts, 32)).sum(axis=1).min())


def _embed(peer: Any, texts: Sequence[str], size: int) -> Any:  # noqa: ANN401 - it ships no types
    return peer.encode(list(texts), batch_size=size, normalize_embeddings=True, show_progress_bar=False)


def _seconds(call: Any) -> float:  # noqa: ANN401 - a call
    call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _operations(tokens: float, length: float, layers: int, width: int, expansion: int) -> float:
    """Return the multiplications and additions of so many tokens: products of weights, and attention over a text."""
    weights = layers * (4 + 2 * expansion) * width * width
    return tokens * 2.0 * (weights + layers * 2 * length * width)


def _causal(name: str, config: dict[str, Any], device: str, quick: bool, peak: float) -> list[Row]:
    from evalsvc.engine import CausalModel, EngineSettings

    rng = random.Random(0)
    words = ["the", "parcel", "arrives", "on", "monday", "refund", "in", "three", "days", "where", "is", "order"]
    count = 64 if quick else 1024
    texts = [" ".join(rng.choices(words, k=rng.randint(5, 150))) for _ in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        weights = _make(Path(folder), config, device)
        engine = CausalModel.load(EngineSettings(model=folder, device=device, dtype="bfloat16", cache_bytes=0))
        pairs = [("", text) for text in texts]
        engine.likelihoods(pairs[:32])
        _reset_memory(device)
        before = engine.stats.snapshot()
        timed = paired_seconds(
            lambda: engine.likelihoods(pairs), lambda: _loop(folder, texts, device), rounds=1 if quick else 3
        )
        after, memory = engine.stats.snapshot(), _memory(device)
        smaller = CausalModel.load(
            EngineSettings(model=folder, device=device, dtype="bfloat16", cache_bytes=0, max_batch_tokens=SMALL_BUDGET)
        )
        budgets = paired_seconds(
            lambda: smaller.likelihoods(pairs), lambda: engine.likelihoods(pairs), rounds=1 if quick else 3
        )
        answers = _answers(name, folder, device)
        calls = 2 if quick else 4
        tokens, on_device = ((after[key] - before[key]) / calls for key in ("tokens", "device_seconds"))
        _peers.clear()
    work = tokens * 2.0 * weights
    what = f"{name}, {count:,} texts of {tokens / count:.0f} tokens, bfloat16"
    return [
        Row("gpu likelihood", what, tokens / timed.seconds, "tokens/s", f"transformers, {PEER_BATCH} a batch",
            tokens / timed.peer_seconds, timed.ratio),
        Row("gpu likelihood", f"{what}: time in the model", 100 * on_device / timed.seconds, "% of the clock"),
        Row("gpu likelihood", f"{what}: work while in the model", work / on_device / peak / 1e10,
            "% of the product"),
        Row("gpu likelihood", f"{what}: memory of both sides", memory, "MiB"),
        Row("gpu likelihood", f"{what}: with a budget of {SMALL_BUDGET:,} tokens", tokens / budgets.seconds, "tokens/s",
            "the budget of the device", tokens / budgets.peer_seconds, budgets.ratio),
        *answers,
    ]  # fmt: skip


def _answers(name: str, folder: str, device: str) -> list[Row]:
    """Return how long a local model under test takes to answer one case: random weights say no end before the limit."""
    from evalsvc.cases import Case
    from evalsvc.generation import Request, TransformersModel, TransformersSettings

    model = TransformersModel(
        TransformersSettings(model=folder, device=device, dtype="bfloat16", max_output_tokens=ANSWER_TOKENS)
    )
    given = [
        model.generate(Request(Case(case_id=str(number), prompt=f"Where is order {number}?"), 0, 0))
        for number in range(6)
    ][1:]
    took = sorted(answer.latency_ms or 0.0 for answer in given)[2]
    first = sorted(answer.time_to_first_token_ms or 0.0 for answer in given)[2]
    what = f"{name}, an answer of {max(answer.output_tokens or 0 for answer in given)} tokens, one case at a time"
    return [Row("gpu answers", what, took, "ms"), Row("gpu answers", f"{what}: the first token", first, "ms")]


def _make(folder: Path, config: dict[str, Any], device: str) -> int:
    """Write a model with random weights and a byte-level tokeniser; return how many weights its products have."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: index for index, letter in enumerate(["<|endoftext|>", *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    kind = config["model_type"]
    asked = {key: value for key, value in config.items() if key != "model_type"}
    made = AutoConfig.for_model(kind, bos_token_id=0, eos_token_id=0, **asked)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(made, dtype=torch.bfloat16)
    model.to("cpu").save_pretrained(folder)
    embedded = model.get_input_embeddings().weight.numel()
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    return sum(int(part.numel()) for part in model.parameters()) - (0 if tied else int(embedded))


_peers: dict[str, tuple[Any, Any]] = {}


def _loop(folder: str, texts: Sequence[str], device: str) -> torch.Tensor:
    """What one would write: texts padded in batches, the model, a log-softmax, the sum of each text's."""
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM

    if folder not in _peers:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).to(device).eval()
        _peers[folder] = (Tokenizer.from_file(f"{folder}/tokenizer.json"), model)
    tokenizer, model = _peers[folder]
    found = []
    with torch.inference_mode():
        for start in range(0, len(texts), PEER_BATCH):
            ids = [[0, *one.ids] for one in tokenizer.encode_batch(list(texts[start : start + PEER_BATCH]))]
            longest = max(map(len, ids))
            padded = torch.tensor([[*one, *[0] * (longest - len(one))] for one in ids], device=device)
            mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in ids], device=device)
            logits = model(input_ids=padded, attention_mask=mask, use_cache=False).logits[:, :-1]
            scores = torch.log_softmax(logits.float(), dim=-1).gather(2, padded[:, 1:, None])[..., 0]
            found.append((scores * mask[:, 1:]).sum(dim=1).cpu())
    return torch.cat(found)


def _reset_memory(device: str) -> None:
    import torch

    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()


def _memory(device: str) -> float:
    """Return the most memory that tensors took on the device since the last reset, in MiB."""
    import torch

    return 0.0 if device == "cpu" else torch.cuda.max_memory_allocated() / 2**20


def _card(device: str) -> str:
    import torch

    return machine() if device == "cpu" else f"{torch.cuda.get_device_name()}; {machine()}"


def main() -> None:
    """Print the rows as a table, and the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller numbers, rougher figures")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", default="all-MiniLM-L6-v2", help="the encoder: a local folder, or the packaged one")
    options = parser.parse_args()
    print(table(run(options.quick, options.device, options.model)))
    print(_card(options.device))


if __name__ == "__main__":
    main()
