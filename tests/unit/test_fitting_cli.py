"""The command `fit`, with a trainer of milliseconds in the place of the real one."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from evalsvc import _cli_fit
from evalsvc.cli import main
from evalsvc.detection import shipped
from tests.fitting_data import Words, pairs, texts, write


@pytest.fixture
def trainers(monkeypatch):
    """Return what stands for the training: the next trainer, and what each was asked for."""
    made = types.SimpleNamespace(trainer=Words(), asked=[])

    def trainer(tasks, options):
        made.asked.append((tasks, options))
        return made.trainer

    monkeypatch.setitem(sys.modules, _cli_fit.TRAINING, types.SimpleNamespace(trainer=trainer))
    return made


def test_fit_prints_figures_and_says_what_it_wrote(tmp_path, monkeypatch, capsys, trainers):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "rows.jsonl", texts())
    code = main(
        ["fit", "toxicity", "--data", "rows.jsonl", "--false-alarms", "0.1", "--epochs", "3", "--device", "cpu"]
    )
    out, err = capsys.readouterr()
    assert code == 0
    assert out.startswith("toxicity: 40 of 120 rows have it; 5 folds of 120 groups\nfound from a probability of 0.")
    assert "with at most 0.1 of the rows without it at or above" in out
    assert "AUROC" in out
    assert "The detector that was written: AUROC" in out
    assert "evalsvc: wrote fitted/toxicity.safetensors\nevalsvc: wrote fitted/toxicity.report.html" in err
    ((tasks, asked),) = trainers.asked
    assert (tasks, asked.epochs, asked.device, asked.seed, asked.before) == (("toxicity",), 3, "cpu", 0, None)


def test_fit_starts_from_the_shipped_detector(tmp_path, monkeypatch, capsys, trainers):
    monkeypatch.setattr(shipped, "WEIGHTS", tmp_path)
    file = write(tmp_path / "rows.jsonl", texts())
    common = ["fit", "toxicity", "--data", str(file), "--false-alarms", "0.1"]
    assert main([*common, "--out", str(tmp_path / "new"), "--from", "shipped"]) == 2
    assert "No detector of toxicity comes with evalsvc; name a file after --from" in capsys.readouterr().err
    assert main([*common, "--out", str(tmp_path)]) == 0
    (tmp_path / "toxicity.safetensors").rename(tmp_path / "texts.safetensors")
    write(file, texts(seed=2))
    assert main([*common, "--out", str(tmp_path / "new"), "--from", "shipped"]) == 0
    assert [asked.before for _, asked in trainers.asked] == [None, tmp_path / "texts.safetensors"]


def test_fit_prints_json_of_pairs_and_starts_from_another(tmp_path, capsys, trainers):
    rows = [row | {"topic": n // 3} for n, row in enumerate(pairs())]
    file, out = write(tmp_path / "rows.jsonl", rows), str(tmp_path / "out")
    common = ["fit", "faithfulness", "--data", str(file), "--group", "topic", "--json", "--miss-costs", "5"]
    assert main([*common, "--out", out, "--folds", "4", "--seed", "3"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["version"], made["folds"], made["seed"], made["groups"], made["field"]) == (1, 4, 3, 40, "topic")
    assert made["tasks"]["faithfulness"]["threshold"]["rule"] == "cost"
    assert main([*common, "--out", f"{out}2", "--from", made["detector"]]) == 2
    assert "Add rows that are new to it, or fit without --from" in capsys.readouterr().err
    write(file, [row | {"topic": n // 3} for n, row in enumerate(pairs(seed=2))])
    assert main([*common, "--out", f"{out}2", "--from", made["detector"]]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == 2


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(tmp_path, capsys, trainers):
    file = write(tmp_path / "rows.jsonl", texts())
    command = ["fit", "toxicity", "--data", str(file), "--out", str(tmp_path / "out")]
    trainers.trainer = Words(fail_at=1)
    assert main(command) == 130
    assert "stopped before the first fold was finished" in capsys.readouterr().err
    trainers.trainer = Words(fail_at=3)
    assert main(command) == 130
    err = capsys.readouterr().err
    assert "evalsvc: stopped after 2 of 5 folds, kept in " in err
    assert "the same command goes on from there" in err
    trainers.trainer = Words()
    assert main([*command, "--folds", "4"]) == 2
    assert "holds an unfinished fit with other folds" in capsys.readouterr().err
    assert main(command) == 0
    assert len(trainers.trainer.calls) == 4


_SLOW = """
import sys, time, types
from evalsvc import _cli_fit, cli
from fitting_data import Words

class Slow(Words):
    def train(self, *given):
        if len(self.calls) == 2:
            time.sleep(60)
        return super().train(*given)

sys.modules[_cli_fit.TRAINING] = types.SimpleNamespace(trainer=lambda tasks, options: Slow())
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_process_that_is_stopped_in_the_third_fold_loses_that_fold_alone(tmp_path, trainers, sign, code):
    file, out = write(tmp_path / "rows.jsonl", texts()), tmp_path / "out"
    command = ["fit", "toxicity", "--data", str(file), "--out", str(out)]
    root = Path(__file__).parents[2]
    paths = {"PYTHONPATH": os.pathsep.join(map(str, (root, root / "tests")))}
    run = subprocess.Popen(
        [sys.executable, "-c", _SLOW, *command], env=os.environ | paths, stderr=subprocess.PIPE, text=True
    )
    began = time.monotonic()
    while not (out / "toxicity.state" / "fold-1.npy").exists() and run.poll() is None and time.monotonic() - began < 50:
        time.sleep(0.05)
    time.sleep(0.3)
    run.send_signal(sign)
    _, err = run.communicate(timeout=30)
    assert run.returncode == code, err
    assert main(command) == 0
    assert len(trainers.trainer.calls) == 4


def test_a_full_disk_is_one_line(tmp_path, capsys, trainers):
    trainers.trainer = Words(fail_at=2, error=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "model.pt"))
    file = write(tmp_path / "rows.jsonl", texts())
    assert main(["fit", "toxicity", "--data", str(file), "--out", str(tmp_path / "out")]) == 2
    err = [line for line in capsys.readouterr().err.splitlines() if "Cannot" in line]
    assert len(err) == 1
    assert err[0].startswith("evalsvc: Cannot write model.pt: No space left on device; 1 finished fold is kept.")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--false-alarms", "1.5"], "Expected --false-alarms in [0, 1), such as 0.01, but got 1.5"),
        (["--miss-costs", "0"], "Expected --miss-costs above 0"),
        (["--from", "absent.safetensors"], "There is no detector absent.safetensors to start from"),
        (["--from", "./shipped"], "There is no detector shipped to start from"),
        (["--group", "customer"], "No row has the field 'customer'"),
        (["--hold-out", "0.7"], "Expected --hold-out in (0, 0.5], such as 0.2, but got 0.7"),
    ],
)
def test_wrong_options_are_told_before_anything_is_trained(tmp_path, capsys, trainers, more, message):
    file = write(tmp_path / "rows.jsonl", texts())
    assert main(["fit", "toxicity", "--data", str(file), "--out", str(tmp_path / "out"), *more]) == 2
    assert message in capsys.readouterr().err
    assert not trainers.trainer.calls
    assert not (tmp_path / "out").exists()


def test_warnings_are_printed(tmp_path, capsys, trainers):
    file = write(tmp_path / "rows.jsonl", texts(600, noise=0.2))
    assert main(["fit", "toxicity", "--data", str(file), "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "Warning: toxicity: the detector disagrees with " in out
    assert "The detector disagrees with" in out
    assert "look at them in the report before you correct any" in out


def test_a_weak_detector_names_no_labels(tmp_path, capsys, trainers):
    rows = [row | {"toxicity": n % 2 == 0} for n, row in enumerate(texts())]
    file, out = write(tmp_path / "rows.jsonl", rows), tmp_path / "out"
    assert main(["fit", "toxicity", "--data", str(file), "--out", str(out)]) == 0
    said = "The detector is too weak to say which labels may be wrong."
    assert said in capsys.readouterr().out
    assert said in (out / "toxicity.report.html").read_text()
    assert not json.loads((out / "toxicity.report.json").read_text())["tasks"]["toxicity"]["suspects"]


@pytest.mark.parametrize("out", ["/proc/evalsvc", "rows.jsonl"])
def test_an_out_that_cannot_be_made_is_no_bug(tmp_path, monkeypatch, capsys, trainers, out):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "rows.jsonl", texts())
    assert main(["fit", "toxicity", "--data", "rows.jsonl", "--out", out]) == 2
    err = capsys.readouterr().err
    assert out in err
    assert "--out" in err
    assert "bug" not in err
    assert "room" not in err


def test_a_package_that_training_lacks_is_named(monkeypatch):
    def absent(name):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(_cli_fit.importlib, "import_module", absent)
    with pytest.raises(Exception, match=r"torch is not installed; run: pip install 'evalsvc\[torch\]'"):
        _cli_fit._trainer_of()
