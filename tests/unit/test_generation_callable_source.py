"""What is told of a ``callable`` by its source alone: no line of it may run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from evalsvc.errors import EngineError
from evalsvc.generation import CallableModel
from evalsvc.generation.callable_source import mistake_in

SOURCE = """raise SystemExit("this was run")
import os as system
from textwrap import dedent
number = 3
first, (second, *others) = range(5)
def reply(prompt): return prompt
async def late(case, *, seed=0): return ""
def nothing() -> str: ...
def greedy(prompt, seed, temperature): ...
def careful(prompt, *more, seed, foo, bar=1, **rest): ...
def optional(prompt, foo=1): ...
def any_number(*given): ...
@system.decorated
def wrapped(): ...
if number:
    def branch(prompt): ...
else:
    branch = None
try:
    with open("x") as held:
        inner = dedent
except OSError:
    other = lambda prompt: prompt
class bot:
    kind = "x"
    @staticmethod
    def reply(case): return ""
class child(bot): ...
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bot.py").write_text(SOURCE)
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        *("system", "dedent", "first", "second", "others", "reply", "late", "optional", "any_number", "wrapped"),
        *("branch", "held", "inner", "other", "bot", "bot.reply", "child.reply", "child.other", "reply.cache"),
    ],
)
def test_what_may_be_there_is_no_mistake(folder: Path, name: str) -> None:
    assert mistake_in(f"bot.py:{name}", folder) is None


@pytest.mark.parametrize(
    ("name", "message", "hint", "line"),
    [
        ("rply", "bot.py has no `rply`", "did you mean `reply`, line 6?", None),
        ("bot.rply", "bot.py:bot has no `rply`", "did you mean `reply`, line 27?", None),
        ("zzz", "bot.py has no `zzz`", "known: any_number, ", None),
        ("number", "expected `number` to be a function, but it is int", "name one in `callable`", 4),
        ("nothing", "expected `nothing` to take the case or the prompt first", "write `def nothing(prompt)`", 8),
        ("greedy", "`greedy` needs `temperature`, which nobody gives it", "give that a default; beside the first", 9),
        ("careful", "`careful` needs `foo`, which nobody gives it", "give that a default; beside the first", 10),
    ],
)
def test_what_cannot_be_is_told_with_its_line(
    folder: Path, name: str, message: str, hint: str, line: int | None
) -> None:
    mistake = mistake_in(f"bot.py:{name}", folder)
    assert mistake is not None
    assert mistake.message.startswith(message)
    assert mistake.hint.startswith(hint)
    assert (mistake.file, mistake.line) == ((folder / "bot.py", line) if line else (None, 1))


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("x = 1\n\ndef reply(prompt:\n    return 1\n", 3, "is not Python: '(' was never closed"),
        ("x = 1\nreturn x\n", 2, "is not Python: 'return' outside function"),
        ("x = 1\n  y = 2\n", 2, "is not Python: unexpected indent"),
        ("x = '\0'\n", 1, "is not Python"),
    ],
)
def test_what_is_not_python(tmp_path: Path, source: str, line: int, message: str) -> None:
    (tmp_path / "bot.py").write_bytes(source.encode("latin-1"))
    mistake = mistake_in("bot.py:reply", tmp_path)
    assert mistake is not None
    assert mistake.message.startswith(message)
    assert (mistake.file, mistake.line) == (tmp_path / "bot.py", line)
    # The same place when it is run.
    with pytest.raises(EngineError, match=r"SyntaxError|IndentationError|ValueError") as caught:
        CallableModel("bot.py:reply", tmp_path).load()
    assert "frozen" not in str(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        "from os.path import *\n",
        "globals()['reply'] = print\n",
        "def __getattr__(name): return print\n",
        "def make():\n    global reply\n    reply = print\nmake()\n",
        "import sys\nsetattr(sys.modules[__name__], 'reply', print)\n",
    ],
)
def test_names_that_no_parser_sees(tmp_path: Path, source: str) -> None:
    (tmp_path / "bot.py").write_text(source)
    assert mistake_in("bot.py:reply", tmp_path) is None


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("reply", "reply = None\ndef make():\n    global reply\n    reply = str\nmake()\n"),
        ("reply", "def reply(a, b): ...\ndef make():\n    global reply\n    reply = str\nmake()\n"),
        ("reply", "reply = None\nglobals()['reply'] = str\n"),
        ("reply", "reply = None\nfrom answers_of_others import *\n"),
        ("reply", "match str:\n    case reply: pass\n"),
        ("reply", "match [str, 1]:\n    case [first, *rest]: reply = first\n"),
        ("reply", "def reply(a, b): ...\nfrom sys import modules\nmodules[__name__].reply = str\n"),
        ("reply", "import importlib\nimportlib.import_module(__name__).reply = str\n"),
        ("Bot.reply", "class Bot: pass\nBot.reply = staticmethod(str)\n"),
        ("Bot.reply", "class Bot: pass\nsame = Bot\nsame.reply = staticmethod(str)\n"),
        ("Bot.reply", "class Bot: pass\nsetattr(Bot, 'reply', staticmethod(str))\n"),
        ("Bot.reply", "class Bot: pass\ntype.__setattr__(Bot, 'reply', staticmethod(str))\n"),
        ("Bot.reply", "class Bot: pass\ndef make():\n    global Bot\n    class Bot:\n        reply = str\nmake()\n"),
    ],
)
def test_what_is_bound_when_it_runs_is_no_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str
) -> None:
    (tmp_path / "answers_of_others.py").write_text("reply = str\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "bot.py").write_text(source)
    assert mistake_in(f"bot.py:{name}", tmp_path) is None
    CallableModel(f"bot.py:{name}", tmp_path).load()


@pytest.mark.parametrize(
    ("name", "message"),
    [("reply", "`reply` needs `customer`, which nobody gives it"), ("rply", "bot.py has no `rply`")],
)
def test_another_name_that_is_set_leaves_the_mistake(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "bot.py").write_text(
        "client = None\ndef reply(prompt, customer):\n    global client\n    client = str\n    client.last = prompt\n"
    )
    mistake = mistake_in(f"bot.py:{name}", tmp_path)
    assert mistake is not None
    assert mistake.message == message


def test_modules_are_found_and_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "their_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('this was run')\n")
    (package / "bot.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    assert mistake_in("their_package.bot:reply", tmp_path) is None
    told = {
        target: mistake_in(target, tmp_path)
        for target in ("their_package.bot:rply", "their_package.bt:reply", "their_pakage.bot:reply")
    }
    assert [one and (one.message, one.hint.split(",")[0]) for one in told.values()] == [
        ("their_package.bot has no `rply`", "did you mean `reply`"),
        ("there is no module 'their_package.bt' here", "did you mean `bot`?"),
        ("there is no module 'their_pakage' here", "install what holds it"),
    ]
    assert all(mistake_in(target, tmp_path, installed=False) is None for target in told)
    assert not [name for name in sys.modules if name.startswith("their_")]
    # What its package's own code may make, only running it would tell.
    (package / "__init__.py").write_text("import sys\nsys.modules[__name__ + '.bt'] = sys\n")
    assert mistake_in("their_package.bt:reply", tmp_path) is None


@pytest.mark.parametrize(
    "target", ["textwrap:dedent", "os.path:basename", "builtins:str", "math:sqrt", "msgspec:convert"]
)
def test_modules_of_this_machine(tmp_path: Path, target: str) -> None:
    assert mistake_in(target, tmp_path) is None


@pytest.mark.parametrize(
    ("source", "line", "name"),
    [
        ("import os\nimport no_such_module_at_all\n", 2, "no_such_module_at_all"),
        ("from no_such_module_at_all.inner import x\n", 1, "no_such_module_at_all"),
        ("import json.no_such_part\n", 1, "json.no_such_part"),
    ],
)
def test_a_module_that_is_not_here_is_told_with_who_imports_it(
    tmp_path: Path, source: str, line: int, name: str
) -> None:
    (tmp_path / "bot.py").write_text(source + "def reply(prompt): return prompt\n")
    mistake = mistake_in("bot.py:reply", tmp_path)
    assert mistake is not None
    assert (mistake.message, mistake.file, mistake.line) == (
        f"there is no module {name!r} here",
        tmp_path / "bot.py",
        line,
    )
    assert "." in name or mistake.hint.endswith(f" -m pip install {name}")
    assert mistake_in("bot.py:reply", tmp_path, installed=False) is None
    # The same when it is run.
    with pytest.raises(EngineError, match=rf"there is no module '{name}' here, which bot.py:{line} imports; "):
        CallableModel("bot.py:reply", tmp_path).load()


def test_a_module_beside_the_file_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "their_helper.py").write_text("raise SystemExit('this was run')\n")
    (tmp_path / "suites" / "bot.py").write_text("import their_helper\ndef reply(prompt): return prompt\n")
    monkeypatch.chdir(tmp_path)
    mistake = mistake_in("suites/bot.py:reply", tmp_path)
    assert mistake is not None
    assert mistake.hint == "it lies in a folder where Python does not look: set PYTHONPATH=suites"
    with pytest.raises(EngineError, match=r"bot.py:1 imports; it lies in .* set PYTHONPATH=suites"):
        CallableModel("suites/bot.py:reply", tmp_path).load()


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    import no_such_module_at_all\nexcept ImportError:\n    pass\n",
        "if False:\n    import no_such_module_at_all\n",
        "import sys\nsys.path.insert(0, 'x')\nimport no_such_module_at_all\n",
        "from their_paths import *\nimport no_such_module_at_all\n",
        "from . import no_such_module_at_all\n",
        "def late(prompt):\n    import no_such_module_at_all\n",
    ],
)
def test_what_may_be_imported_nevertheless_is_no_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    (tmp_path / "their_paths.py").write_text("import sys\nsys.path.append('x')\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "bot.py").write_text(source + "def reply(prompt): return prompt\n")
    assert mistake_in("bot.py:reply", tmp_path) is None
