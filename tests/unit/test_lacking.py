"""What a scorer lacks on this machine: `check` and `scorers` tell it before a worker starts, with what mends it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalsvc import scorers
from evalsvc.cli import main
from evalsvc.engine.presence import absent

COMMIT = "0" * 40
FILE = """consumer: quality
source: {{files: {{paths: ["*.jsonl"]}}}}
scorers:
  - refusal
  - name: {name}
    options:
{options}
"""


def consumer(folder: Path, name: str, **options: str) -> Path:
    """Write a consumer's file with one scorer that takes options, the first of them on line 7."""
    lines = "\n".join(f"      {key}: {json.dumps(value)}" for key, value in options.items())
    file = folder / "quality.yaml"
    file.write_text(FILE.format(name=name, options=lines))
    return file


def checked(file: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["check", *options, str(file)])
    return code, capsys.readouterr().out


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the models' packages for installed."""
    monkeypatch.setattr("evalsvc._lacking.missing_package", lambda scorer: "")


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(
    ("options", "place", "said"),
    [
        ({"model": "/no/such/folder"}, "7:14", "put its config.json, tokenizer.json and model.safetensors into /no"),
        ({"model": "owner/name"}, "7:14", "`git ls-remote https://huggingface.co/owner/name HEAD` prints the newest"),
        ({"model": "owner/name", "revision": "main"}, "8:17", "`revision` 'main' is no commit"),
    ],
)
def test_check_refuses_a_model_that_cannot_load(
    options: dict[str, str], place: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = consumer(tmp_path, "nli_faithfulness", **options)
    code, told = checked(file, capsys)
    assert code == 1
    assert f"quality.yaml:{place}: `nli_faithfulness` cannot run here: " in told
    assert said in told
    assert checked(file, capsys, "--files-only")[0] == 0


@pytest.mark.usefixtures("models")
def test_check_refuses_a_folder_without_its_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "nli"
    folder.mkdir()
    file = consumer(tmp_path, "nli_faithfulness", model=str(folder))
    assert "has no model.safetensors" in checked(file, capsys)[1]
    (folder / "model.safetensors").write_bytes(b"")
    assert "has no config.json" in checked(file, capsys)[1]
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    assert checked(file, capsys)[0] == 0


def test_check_refuses_a_key_that_is_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = consumer(
        tmp_path, "judge", model="m", base_url="http://localhost:1/v1", criteria="Polite.", api_key_env="EVALSVC_T_KEY"
    )
    monkeypatch.delenv("EVALSVC_T_KEY", raising=False)
    code, told = checked(file, capsys)
    assert code == 1
    assert "quality.yaml:10:20: `judge` cannot run here: `api_key_env` names the variable EVALSVC_T_KEY" in told
    monkeypatch.setenv("EVALSVC_T_KEY", " \n")
    assert checked(file, capsys)[0] == 1
    monkeypatch.setenv("EVALSVC_T_KEY", "secret")
    assert checked(file, capsys)[0] == 0


@pytest.mark.usefixtures("models")
def test_the_list_of_a_consumer_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = consumer(tmp_path, "nli_faithfulness", model="owner/name")
    capsys.readouterr()
    assert main(["scorers", "--consumer", str(file), "--format", "json"]) == 0
    refusal, faithful = map(json.loads, capsys.readouterr().out.splitlines())
    assert (refusal["name"], refusal["runs_here"]) == ("refusal", True)
    assert faithful["runs_here"] is False
    assert "git ls-remote" in faithful["why_not"]
    assert main(["scorers", "bleu", "--consumer", str(file)]) == 2


def test_what_to_write_is_shown_where_an_option_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["scorers", "perplexity", "--format", "json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["write"] == 'scorers:\n  - name: perplexity\n    options:\n      model: "path/to/folder"'
    assert row["why_not"].startswith("needs option: model")


def test_a_pinned_hub_model_is_absent_only_where_it_cannot_be_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    assert absent("owner/name", COMMIT) == ""
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    assert f"run: hf download owner/name --revision {COMMIT}" in absent("owner/name", COMMIT)


def test_a_scorer_of_somebody_elses_may_say_anything() -> None:
    class Odd:
        packages = "torch"

        def lacks(self) -> int:
            return 5

    assert scorers.lacking(Odd()) == ""
    assert scorers.lacking(Odd) == ""

    class Raises:
        def lacks(self) -> str:
            raise KeyError("weights")

    assert scorers.lacking(Raises()) == "its lacks() raises KeyError"


@pytest.mark.parametrize("name", ["chrf_plus_plus", "chrF++"])
def test_a_metric_under_another_name_is_told(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["scorers", name]) == 2
    assert "`chrf` with `options: {word_order: 2}`" in capsys.readouterr().err
