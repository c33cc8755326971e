"""What is wrong with a ``callable`` as its source says: read and parsed, never imported or run."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from pathlib import Path

from evalsvc._hints import did_you_mean, within_a_line
from evalsvc.generation.callable_modules import Mistake, file_of, missing_import

GIVEN = ("case", "request", "prompt", "contexts", "seed", "repeat")
"""What a function may be given by its parameters' names."""

_DYNAMIC = frozenset({"globals", "vars", "exec", "eval", "setattr", "locals", "__getattr__", "modules"})
"""Whoever uses one of these may have names that no parser sees."""
_DYNAMIC_ATTRIBUTES = frozenset({"modules", "__dict__", "__setattr__"})

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def mistake_in(target: str, folder: Path, *, installed: bool = True) -> Mistake | None:
    """Return why a function cannot be the model, as far as its source tells.

    Args:
        target: ``package.module:attribute`` or ``file.py:attribute``.
        folder: what a file is relative to.
        installed: whether packages of this machine are looked at; without, only files.
    """
    where, _, attribute = target.rpartition(":")
    if where.endswith(".py"):
        file: Path | None = folder / where
    elif installed:
        found = file_of(where)
        if isinstance(found, Mistake):
            hint = (
                f"install what holds it, or write a path beside the suite, as in {where.partition('.')[0]}.py:function"
            )
            return found._replace(hint=found.hint or hint)
        file = found
    else:
        return None
    if file is None:
        return None
    try:
        source = file.read_bytes()
    except OSError as error:
        return Mistake(f"{where} cannot be read: {error.strerror or error}", "check the path and its permissions")
    tree = _parsed(source, file)
    if isinstance(tree, Mistake):
        return tree
    return (missing_import(tree, source, file) if installed else None) or _named(tree, where, attribute, file)


def _parsed(source: bytes, file: Path) -> ast.Module | Mistake:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source, str(file))
            # What only a compiler sees: `return` outside of a function, a name that is a parameter and global.
            compile(tree, str(file), "exec", dont_inherit=True)
    except SyntaxError as error:
        hint = "the suite's `callable` cannot be imported before that is mended"
        said = f"is not Python: {within_a_line(error.msg)}"
        return Mistake(said, hint, file, max(error.lineno or 1, 1), max(error.offset or 1, 1))
    except (ValueError, RecursionError, MemoryError):  # a null byte, or nested too deeply
        return Mistake("is not Python", "the suite's `callable` cannot be imported", file)
    return tree


def _named(tree: ast.Module, where: str, attribute: str, file: Path) -> Mistake | None:
    """Return what is wrong with a name in a module; None also where only running it could tell."""
    if _is_open(tree):
        return None
    body: ast.Module | ast.ClassDef = tree
    set_later = _set_later(tree)
    inside = Path(where).name if where.endswith(".py") else where
    for name in attribute.split("."):
        if name in set_later:
            return None
        bound = _bound(body)
        if name not in bound:
            return _absent(name, inside, bound)
        if len(bound[name]) > 1:
            return None
        found = bound[name][0]
        if not isinstance(found, ast.ClassDef):
            # Of a method the first parameter may be the object itself.
            return _unfit(found, attribute, file) if isinstance(body, ast.Module) and name == attribute else None
        if found.decorator_list or found.bases or found.keywords:
            return None
        body, inside = found, f"{inside}:{name}"
    return None


def _absent(name: str, inside: str, bound: dict[str, list[ast.stmt]]) -> Mistake:
    public = [other for other in bound if not other.startswith("_")]
    hint = did_you_mean(name, public) or "it holds no public name"
    near = hint.removeprefix("did you mean `").removesuffix("`?")
    if near in bound:
        hint = f"did you mean `{near}`, line {bound[near][0].lineno}?"
    return Mistake(f"{inside} has no `{name}`", hint)


def _is_open(tree: ast.Module) -> bool:
    """Whether names may be there, or hold other things, that no parser sees."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(one.name == "*" for one in node.names):
            return True
        if isinstance(node, ast.Name) and node.id in _DYNAMIC:
            return True
        if isinstance(node, _Function) and node.name in _DYNAMIC:
            return True
        if isinstance(node, ast.Attribute) and node.attr in _DYNAMIC_ATTRIBUTES:
            return True
    return False


def _set_later(tree: ast.Module) -> set[str]:
    """Return the names that a function sets in the module, or anyone in an object, which may be a class or a module."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            found.update(node.names)
        elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            found.add(node.attr)
    return found


def _bound(body: ast.Module | ast.ClassDef) -> dict[str, list[ast.stmt]]:
    """Return what each name is bound by, branches included and functions' insides not."""
    found: dict[str, list[ast.stmt]] = {}
    for statement in _statements(body.body):
        for name in _names_of(statement):
            found.setdefault(name, []).append(statement)
    return found


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        yield statement
        if isinstance(statement, _Function | ast.ClassDef):
            continue
        for _, inner in ast.iter_fields(statement):
            for one in inner if isinstance(inner, list) else ():
                if isinstance(one, ast.stmt):
                    yield from _statements([one])
                elif isinstance(one, ast.ExceptHandler | ast.match_case):
                    yield from _statements(one.body)


def _names_of(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, _Function | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        yield from ((one.asname or one.name).partition(".")[0] for one in statement.names)
    else:
        yield from dict.fromkeys(name for node in ast.walk(statement) for name in _stored(node))


def _stored(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest


def _unfit(found: ast.stmt, name: str, file: Path) -> Mistake | None:
    place = file, found.lineno, found.col_offset + 1
    if isinstance(found, ast.Assign) and isinstance(found.value, ast.Constant | ast.JoinedStr | ast.List | ast.Dict):
        kind = type(found.value.value).__name__ if isinstance(found.value, ast.Constant) else "no function"
        return Mistake(f"expected `{name}` to be a function, but it is {kind}", "name one in `callable`", *place)
    if not isinstance(found, _Function) or found.decorator_list:
        return None
    by_place = [*found.args.posonlyargs, *found.args.args]
    if not by_place and found.args.vararg is None:
        hint = f"write `def {name}(prompt)`"
        return Mistake(f"expected `{name}` to take the case or the prompt first, but it takes none", hint, *place)
    plain = by_place[: len(by_place) - len(found.args.defaults)][1:]
    plain = [one for one in plain if one not in found.args.posonlyargs]
    named = zip(found.args.kwonlyargs, found.args.kw_defaults, strict=True)
    for one in (*plain, *(given for given, default in named if default is None)):
        if one.arg not in GIVEN:
            said = f"`{name}` needs `{one.arg}`, which nobody gives it"
            hint = f"give that a default; beside the first, it may take {', '.join(GIVEN)}"
            return Mistake(said, hint, file, one.lineno, one.col_offset + 1)
    return None
