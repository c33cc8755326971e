"""The model section of a suite: what a right one says, and the corpus of wrong ones with their exact problems.

After a message changed on purpose, ``python tests/unit/test_generation_reading.py`` writes the corpus' texts anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from evalsvc._yaml import Document, raise_problems
from evalsvc.errors import ConfigError
from evalsvc.generation import (
    CallableModel,
    CommandModel,
    EndpointModel,
    EndpointSettings,
    Generator,
    RecordedAnswers,
    Request,
    TransformersModel,
    TransformersSettings,
    read_model,
)
from evalsvc.judges import CallLimits, Prices
from generators import cases

BAD = Path(__file__).parent / "bad_models"
FILES = sorted(BAD.glob("*.bad.model.yaml"))


def read(text: bytes, folder: Path, shown: str = "x.suite.yaml") -> Generator:
    document = Document(shown, text)
    assert document.root is not None
    value = document.root.need("model")
    assert value is not None
    model = read_model(value, folder)
    raise_problems(document.finish())
    assert model is not None
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "answers.jsonl").write_text('{"case_id": "case-0", "response": "A"}\n')
    (tmp_path / "bot.py").write_text("def reply(prompt): return prompt.upper()\n")
    return tmp_path


def test_recorded(folder):
    model = read(b"model: {recorded: answers.jsonl, name: bot, version: v2}", folder)
    assert isinstance(model, RecordedAnswers)
    assert (model.model, model.model_version) == ("bot", "v2")
    assert model.generate(Request(cases(1)[0], 0, 0)).response == "A"


def test_callable(folder):
    model = read(b"model: {callable: 'bot.py:reply', version: '3'}", folder)
    assert isinstance(model, CallableModel)
    assert (model.model, model.model_version) == ("reply", "3")
    assert model.generate(Request(cases(1)[0], 0, 0)).response == "PROMPT 0"
    assert isinstance(read(b"model: {callable: 'package.module:Class.method'}", folder), CallableModel)


def test_command(folder):
    model = read(b'model: {command: [echo, "Q: {prompt}"], timeout: 5s, name: bot}', folder)
    assert isinstance(model, CommandModel)
    assert model.argv == ("echo", "Q: {prompt}")
    assert model.generate(Request(cases(1)[0], 0, 0)).response == "Q: prompt 0"
    spoken = read(b"""model: {command: [echo, '{"response": "x"}'], output: json}""", folder)
    assert spoken.generate(Request(cases(1)[0], 0, 0)).response == "x"


def test_an_endpoint_with_its_defaults(folder):
    model = read(b"model: {endpoint: 'http://localhost:8000/v1', model: m}", folder)
    assert isinstance(model, EndpointModel)
    calls = CallLimits(deadline_seconds=4 * 90.0)
    assert model.settings == EndpointSettings(model="m", base_url="http://localhost:8000/v1", calls=calls)


def test_an_endpoint_with_every_option(folder):
    text = b"""
model:
  endpoint: https://host/v1
  model: m
  name: bot
  version: 2026-08-01
  served_model: m-2026
  api_key_env: MODEL_KEY
  system: "Use only: {contexts}"
  template: "Q: {prompt}"
  temperature: default
  max_output_tokens: 200
  token_field: max_completion_tokens
  seed: false
  stream: false
  stall: 10s
  timeout: 20s
  attempts: 2
  give_up: 1h
  tools: [{type: function, function: {name: find}}]
  extra: {top_p: 0.5}
  prices: {input_usd_per_million: 0.5, output_usd_per_million: 1}
"""
    model = read(text, folder)
    assert isinstance(model, EndpointModel)
    assert (model.model, model.model_version) == ("bot", "2026-08-01")
    assert model.settings == EndpointSettings(
        model="m",
        base_url="https://host/v1",
        model_version="2026-08-01",
        served_model="m-2026",
        api_key_env="MODEL_KEY",
        system="Use only: {contexts}",
        template="Q: {prompt}",
        temperature=None,
        max_output_tokens=200,
        token_field="max_completion_tokens",
        send_seed=False,
        stream=False,
        stall_seconds=10.0,
        tools=({"type": "function", "function": {"name": "find"}},),
        extra={"top_p": 0.5},
        calls=CallLimits(timeout_seconds=20.0, attempts=2, deadline_seconds=100.0),
        give_up_seconds=3600.0,
        prices=Prices(input_usd_per_million=0.5, output_usd_per_million=1.0),
    )


def test_a_local_model(folder):
    (folder / "tiny").mkdir()
    model = read(b"model: {transformers: tiny, device: cpu, temperature: 0.5, window: 64, version: '2'}", folder)
    assert isinstance(model, TransformersModel)
    expected = {"device": "cpu", "temperature": 0.5, "window": 64, "version": "2"}
    assert model.settings == TransformersSettings(model=str(folder / "tiny"), **expected)
    hub = read(b"model: {transformers: owner/name, revision: " + b"a" * 40 + b"}", folder)
    assert isinstance(hub, TransformersModel)
    assert hub.settings == TransformersSettings(model="owner/name", revision="a" * 40)


def problems_of(path: Path, folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read(path.read_bytes(), folder, path.name)
    return "".join(f"{problem}\n" for problem in caught.value.problems)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".bad.model.yaml"))
def test_every_wrong_file_has_its_exact_problems(path, folder):
    assert problems_of(path, folder) == path.with_suffix(".txt").read_text()


@pytest.mark.parametrize(
    ("text", "hint"), [("300ms", "write 1s"), ("1.5s", "write 2s"), ("0,5s", "write 1s"), ("x", "")]
)
def test_a_part_of_a_second_is_told_what_to_write(text, hint, folder):
    with pytest.raises(ConfigError) as caught:
        read(f"model: {{command: [cat], timeout: '{text}'}}".encode(), folder, "made.yaml")
    assert [problem.hint for problem in caught.value.problems] == [f"whole seconds: {hint}" if hint else ""]


def test_no_secret_is_shown():
    texts = "".join(path.read_text() for path in BAD.glob("*.txt"))
    assert "sk-1234567890" not in texts
    assert "user:pass" not in texts


def _write_texts() -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "answers.jsonl").write_text("{}")
        (Path(name) / "bot.py").write_text("")
        for path in FILES:
            path.with_suffix(".txt").write_text(problems_of(path, Path(name)))


if __name__ == "__main__":
    _write_texts()
