"""The command ``scorers``: which there are, what they measure, what they cost, and whether they can run here."""

from __future__ import annotations

import argparse
import inspect
import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from evalsvc import project, scorers
from evalsvc._cli_output import aligned
from evalsvc._lacking import missing_package
from evalsvc.cli import OK, USAGE
from evalsvc.errors import EvalsvcError, InputError, UnknownMetric
from evalsvc.protocols import ScorerFactory
from evalsvc.types import Scale, ScorerSpec

COSTS: Mapping[str, str] = {
    "none": "reads fields of the event",
    "characters": "reads the texts by rule, on the CPU",
    "encoder": "runs the text encoder",
    "model": "runs a larger model",
    "judge": "asks a language model, often over a network",
}
"""What a scorer's class attribute ``cost_class`` may say."""

HERE = "yes"


class Option(msgspec.Struct, frozen=True, omit_defaults=True):
    """An option of a scorer: its name, its type as written, and its default as Python spells it."""

    name: str
    type: str = ""
    default: str | None = None
    required: bool = False


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a scorer without loading it. ``spec`` is absent where it could not be built."""

    name: str
    here: str
    cost: str = "-"
    spec: ScorerSpec | None = None
    text: str = ""
    options: tuple[Option, ...] | None = None
    write: tuple[str, ...] = ()
    """Lines for a consumer's file with the options that it cannot do without; none where it needs none."""
    imported: bool = True
    """False for a `module:attribute` that is not there: a wrong argument, unlike what a package announces."""


def list_scorers(options: argparse.Namespace) -> int:
    """Print a line for each scorer, or everything about those that are named."""
    if options.names and options.consumer:
        raise InputError("Expected names or --consumer, but got both")
    found = _of_consumer(options.consumer) if options.consumer else [look(n) for n in options.names or scorers.names()]
    if options.format == "json":
        for one in found:
            print(json.dumps(to_json(one), ensure_ascii=False))
    elif options.names:
        print("\n\n".join(map(details, found)))
    else:
        print(aligned([_row(one) for one in found], right={"v"}))
    return USAGE if options.names and any(not one.imported for one in found) else OK


def _of_consumer(file: str) -> list[Listed]:
    _, consumer = project.load_consumer(Path(file))
    return [look(entry.name, entry.options) for entry in consumer.scorers]


def look(name: str, given: Mapping[str, Any] = MappingProxyType({})) -> Listed:
    """Return what can be known of a scorer: its module is imported and it is built; no model is loaded.

    Whatever is wrong with it is told in ``here``: other people's scorers can fail in any way.

    Raises:
        UnknownMetric: when there is no such name.
    """
    try:
        build = scorers.factory(name)
    except UnknownMetric:
        raise
    except (EvalsvcError, SystemExit) as error:
        return Listed(name=name, here=_one_line(error), imported=":" not in name)
    known = Listed(name=name, here=HERE, cost=_cost(build), text=_first_paragraph(build), options=_options(build))
    try:
        scorer = scorers.create(name, given)
        spec: object = scorer.spec  # other people's may be anything
        here = scorers.lacking(scorer) or HERE
    except (Exception, SystemExit) as error:
        wanted = _wanted(error, known.options or (), _examples(build))
        why = f"needs option: {', '.join(wanted)}" if wanted else _one_line(error)
        why = "; ".join(filter(None, (why, missing_package(build))))
        lines = _to_write(name, wanted, _examples(build))
        return msgspec.structs.replace(known, here=why, spec=_example_spec(name, build), write=lines)
    if not isinstance(spec, ScorerSpec):
        return msgspec.structs.replace(known, here=f"its spec is a {type(spec).__name__}, not a ScorerSpec")
    cost = known.cost if known.cost != "-" else _cost(scorer)
    return msgspec.structs.replace(known, here=here, cost=cost, spec=spec)


def to_json(one: Listed) -> dict[str, Any]:
    """Return a scorer as one JSON object; what is not known is null."""
    spec = one.spec
    return {
        "name": one.name,
        "metric": spec and spec.metric,
        "version": spec and spec.version,
        "scale": spec and msgspec.to_builtins(spec.scale),
        "needs": spec and list(spec.needs),
        "signature": spec and spec.signature,
        "description": spec and spec.description,
        "cost": None if one.cost == "-" else one.cost,
        "runs_here": one.here == HERE,
        "why_not": None if one.here == HERE else one.here,
        "write": "\n".join(one.write) or None,
        "text": one.text,
        "options": None if one.options is None else [msgspec.to_builtins(option) for option in one.options],
    }


def details(one: Listed) -> str:
    """Return everything about one scorer, as lines for people."""
    spec = one.spec
    cells = {"scorer": one.name, "runs here": one.here, "costs": _explained(one.cost)}
    if spec is not None:
        cells |= {
            "metric": f"{spec.metric}, version {spec.version}",
            "scale": f"{scale_text(spec.scale)}, {_better(spec)}",
            "needs": ", ".join(spec.needs) or "-",
            "signature": spec.signature or "-",
        }
    lines = [f"{name:<9}  {value}" for name, value in cells.items()]
    lines += [f"{'write' if not place else '':<9}  {line}".rstrip() for place, line in enumerate(one.write)]
    if one.options is None:
        lines.append("options    any")
    for place, option in enumerate(one.options or ()):
        lines.append(f"{'options' if not place else '':<9}  {_option_text(option)}")
    if one.options == ():
        lines.append("options    none")
    text = one.text or (spec.description if spec else "")
    return "\n".join([*lines, *(["", text] if text else [])])


def scale_text(scale: Scale) -> str:
    """Return a scale in words.

    >>> scale_text(Scale(0.0, None, "lower", "ms")), scale_text(Scale(0.0, 1.0, "higher", binary=True))
    ('0 …, ms', '0 or 1')
    """
    if scale.binary:
        return "0 or 1"
    low, high = ("" if end is None else f"{end:g}" for end in (scale.low, scale.high))
    reach = f"{low} … {high}".strip() if low or high else "any number"
    return f"{reach}, {scale.unit}" if scale.unit and scale.unit != "share" else reach


def _row(one: Listed) -> dict[str, str]:
    spec = one.spec
    name = one.name if spec is None or spec.metric == one.name else f"{one.name} ({spec.metric})"
    return {
        "scorer": name,
        "v": str(spec.version) if spec else "-",
        "scale": scale_text(spec.scale) if spec else "-",
        "better": spec.scale.better if spec else "-",
        "needs": (", ".join(spec.needs) or "-") if spec else "-",
        "costs": one.cost,
        "runs here": one.here,
    }


def _better(spec: ScorerSpec) -> str:
    return "neither direction is better" if spec.scale.better == "neither" else f"{spec.scale.better} is better"


def _explained(cost: str) -> str:
    return f"{cost}: {COSTS[cost]}" if cost in COSTS else cost


def _option_text(option: Option) -> str:
    kind = f": {option.type}" if option.type else ""
    return f"{option.name}{kind}" + (" (required)" if option.required else f" = {option.default}")


def _cost(of: object) -> str:
    said = getattr(of, "cost_class", None)
    return said if isinstance(said, str) and said in COSTS else "-"


def _first_paragraph(build: ScorerFactory) -> str:
    paragraph = (inspect.getdoc(build) or "").split("\n\n")[0]
    return " ".join(paragraph.split())


def _options(build: ScorerFactory) -> tuple[Option, ...] | None:
    names = scorers.option_names(build)
    if names is None:
        return None
    parameters = inspect.signature(build).parameters
    return tuple(_option(parameters[name]) for name in names)


def _option(parameter: inspect.Parameter) -> Option:
    kind = "" if parameter.annotation is parameter.empty else inspect.formatannotation(parameter.annotation)
    if parameter.default is parameter.empty:
        return Option(parameter.name, kind.strip("'"), required=True)
    return Option(parameter.name, kind.strip("'"), repr(parameter.default))


def _examples(build: ScorerFactory) -> Mapping[str, Any]:
    """Return the options that a scorer cannot do without, with values that stand for the operator's."""
    found = getattr(build, "example_options", None)
    return found if isinstance(found, Mapping) else {}


def _example_spec(name: str, build: ScorerFactory) -> ScorerSpec | None:
    """Return the spec of a scorer that needs options, built with its examples; its signature is theirs."""
    try:
        spec = scorers.create(name, _examples(build)).spec if _examples(build) else None
    except (Exception, SystemExit):
        return None
    return msgspec.structs.replace(spec, signature="") if isinstance(spec, ScorerSpec) else None


def _wanted(error: BaseException, options: tuple[Option, ...], examples: Mapping[str, Any]) -> list[str]:
    """Return the options that are needed, where that is why it could not be built, else none."""
    required = [option.name for option in options if option.required] or list(examples)
    # An optional parameter may be needed all the same; then the error names it first, as ours do.
    named = [word for word in re.findall(r"[`'\"](\w+)[`'\"]", str(error)) if word in {o.name for o in options}]
    wanted = required or named[:1]
    return wanted if isinstance(error, ValueError | TypeError) else []


def _to_write(name: str, wanted: list[str], examples: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a consumer's lines with the options that are needed; what has no example is left to fill in."""
    if not wanted:
        return ()
    options = [f"      {option}: {json.dumps(examples.get(option, '...'), ensure_ascii=False)}" for option in wanted]
    more = [f"      {option}: {json.dumps(value)}" for option, value in examples.items() if option not in wanted]
    return ("scorers:", f"  - name: {name}", "    options:", *options, *more)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, EvalsvcError) else f"{type(error).__name__}: {text}"
