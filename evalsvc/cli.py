"""The command line. What a command needs is imported when it runs: ``evalsvc --help`` answers at once.

Exit codes are in :data:`EXIT_CODES` and in ``docs/reference/cli.md``. A mistake of the user's is told in one
message on stderr, without a traceback; ``-v`` shows it.

Longer than other files: every command's options stand here, so that starting any command imports none of the others.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import NoReturn

from evalsvc import __version__
from evalsvc._paths import shown_path
from evalsvc._plain import harmless
from evalsvc.errors import (
    EngineError,
    EvalsvcError,
    ModelRefused,
    SchemaError,
    SourceUnavailable,
    StoreError,
    TooManyDeadLetters,
)

OK, FINDINGS, USAGE, UNAVAILABLE, INTERNAL, INTERRUPTED, CLOSED = 0, 1, 2, 3, 70, 130, 141

EXIT_CODES: Mapping[int, str] = {
    OK: "it did what was asked",
    FINDINGS: "it ran, and found something wrong: `check` found problems, a `test` failed, or too many dead letters "
    "stopped a worker",
    USAGE: "the command line, an operator's file or the environment is wrong, or a package is missing",
    UNAVAILABLE: "the store, the broker or a model does not answer; trying again may help",
    INTERNAL: "a bug in evalsvc",
    INTERRUPTED: "interrupted by Ctrl-C",
    CLOSED: "the reader of its output went away",
}

_CODES: tuple[tuple[type[EvalsvcError], int], ...] = (
    (TooManyDeadLetters, FINDINGS),
    (SchemaError, USAGE),
    (ModelRefused, USAGE),
    (SourceUnavailable, UNAVAILABLE),
    (StoreError, UNAVAILABLE),
    (EngineError, UNAVAILABLE),
)
"""The first that fits counts; every other error is the user's to mend."""

PROJECT, RUN, QUERY = "evalsvc._cli_project", "evalsvc._cli_run", "evalsvc._cli_query"

Handler = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = build_parser()
    try:
        options, unknown = parser.parse_known_args(argv)
        if unknown:
            # Told by the command's own parser, whose usage line is the one that helps.
            getattr(options, "parser", parser).error(f"unrecognized arguments: {' '.join(unknown)}")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else USAGE
    if not hasattr(options, "handler"):
        parser.print_help()
        return OK
    return _run(options)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    common = _common()
    parser = argparse.ArgumentParser(
        prog="evalsvc",
        description="Evaluates and monitors generative-AI applications: sampled, with honest intervals.",
        epilog="Exit codes: " + "; ".join(f"{code} {text}" for code, text in EXIT_CODES.items()) + ".",
        parents=[common],
    )
    parser.add_argument("--version", action="version", version=f"evalsvc {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    add = _Adder(commands, common)
    _add_project(add)
    _add_running(add)
    _add_query(add)
    _add_drift(add)
    _add_fairness(add)
    _add_backtest(add)
    _add_test(add)
    _add_gate(add)
    _add_verdicts(add)
    _add_baseline(add)
    _add_cache(add)
    _add_schema(add)
    _add_alerts(add)
    _add_anchors(add)
    _add_dead_letters(add)
    _add_scorers(add)
    _add_rubric(add)
    _add_audit_set(add)
    _add_cases(add)
    _add_fit(add)
    return parser


def exit_code(error: EvalsvcError) -> int:
    """Return the exit code of an error.

    >>> from evalsvc.errors import StoreUnavailable
    >>> exit_code(StoreUnavailable("down"))
    3
    """
    return next((code for kind, code in _CODES if isinstance(error, kind)), USAGE)


class _Adder:
    """Adds commands that all take the common options."""

    def __init__(
        self, commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
    ) -> None:
        self.commands, self.common = commands, common

    def __call__(self, name: str, handler: str, text: str, *, chatty: bool = False) -> argparse.ArgumentParser:
        command = self.commands.add_parser(name, help=text, description=text, parents=[self.common])
        command.set_defaults(handler=handler, chatty=chatty, parser=command)
        return command


def _common() -> argparse.ArgumentParser:
    """Return the options that may stand before and after the command; absent ones are not set."""
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = common.add_argument_group("common options")
    group.add_argument(
        "--store",
        metavar="URL",
        help="embedded:PATH or clickhouse://USER:PASSWORD@HOST:PORT/DATABASE; before EVALSVC_STORE",
    )
    group.add_argument("-v", "--verbose", action="store_true", help="more log lines, and tracebacks of errors")
    group.add_argument("--log-format", choices=("text", "json"), help="how log lines look on stderr (default: text)")
    return common


def _add_project(add: _Adder) -> None:
    init = add("init", f"{PROJECT}:init", "write a starter project; never overwrites")
    init.add_argument("folder", nargs="?", default=".", metavar="DIR", help="where (default: here)")
    check = add(
        "check",
        f"{PROJECT}:check",
        "check every operator's file: all errors at once, with file:line:col and a hint",
    )
    check.add_argument("paths", nargs="*", metavar="PATH", help="files or folders (default: this project)")
    check.add_argument(
        "--files-only",
        action="store_true",
        help="not what the scorers lack on this machine: packages, models, keys",
    )


def _add_running(add: _Adder) -> None:
    up = add(
        "up",
        "evalsvc._cli_up:up",
        "run everything in one process: store, every consumer, ruler, HTTP API and page",
        chatty=True,
    )
    up.add_argument("--host", help="where to listen (default: the host of EVALSVC_API, 127.0.0.1)")
    up.add_argument("--port", type=_port, help="0 for any free one (default: the port of EVALSVC_API, 8400)")
    run = add("run", f"{RUN}:run", "run one consumer: a worker of its group", chatty=True)
    run.add_argument("consumer", metavar="CONSUMER", help="its file, or its name in this project")
    run.add_argument("--metrics-host", default="127.0.0.1", metavar="HOST", help="for /metrics, /livez and /readyz")
    run.add_argument(
        "--metrics-port", type=_port, default=9464, metavar="PORT", help="0 for any free one (default: 9464)"
    )
    ruler = add(
        "ruler", "evalsvc._cli_ruler:ruler", "look at the alert rules by the clock and tell people", chatty=True
    )
    ruler.add_argument("--metrics-host", default="127.0.0.1", metavar="HOST", help="for /metrics, /livez and /readyz")
    ruler.add_argument(
        "--metrics-port", type=_port, default=9465, metavar="PORT", help="0 for any free one (default: 9465)"
    )
    replay = add("replay", f"{RUN}:replay", "score events from files and end")
    replay.add_argument("files", nargs="+", metavar="FILE", help="JSONL, gzip, CSV, Parquet, or folders of them")
    replay.add_argument(
        "--consumer",
        metavar="CONSUMER",
        help="take sampling, scorers and masking from this file, or consumer of the project (default: all events)",
    )
    replay.add_argument(
        "--field",
        action="append",
        default=[],
        type=_pair,
        metavar="FROM=TO",
        help="a column that is an event's field",
    )
    replay.add_argument(
        "--set",
        action="append",
        default=[],
        type=_pair,
        metavar="FIELD=VALUE",
        help="a field that every event has",
    )
    shown = replay.add_mutually_exclusive_group()
    shown.add_argument(
        "--scores", action="store_true", help="print every score that this run writes, as JSON, instead of a table"
    )
    shown.add_argument(
        "--marks", action="store_true", help="first print the responses, with what is unsupported in them marked"
    )
    replay.add_argument(
        "--again",
        action="append",
        default=[],
        choices=("failed", "abstained"),
        help="read the files again and make only those scores anew that are failed (or abstained) in the store",
    )
    migrate = add("migrate", f"{RUN}:migrate", "bring the store's schema up to this release")
    migrate.add_argument("--dry-run", action="store_true", help="only say what would be done")
    demo = add("demo", f"{RUN}:demo", "two weeks of synthetic traffic through the whole path, then the page")
    demo.add_argument("--once", action="store_true", help="end instead of staying up")
    demo.add_argument("--port", type=_port, help="of the page; 0 for any free one (default: that of EVALSVC_API, 8400)")


def _add_span(command: argparse.ArgumentParser, *, default: str = "24h", of: str = "an ISO time") -> None:
    command.add_argument(
        "--since", default=default, metavar="TIME", help=f"24h, 7d, 2026-01-31 or {of} (default: {default})"
    )
    command.add_argument("--until", default="now", metavar="TIME", help="the end, not included (default: now)")


def _add_query(add: _Adder) -> None:
    query = add("query", f"{QUERY}:query", "estimates of a metric, with intervals")
    query.add_argument(
        "metric", metavar="METRIC", help="as in latency_ms or rouge_l; all for the means of every metric"
    )
    query.add_argument(
        "--by",
        action="append",
        default=[],
        metavar="FIELD,…",
        help="application, model, model_version, consumer, segments.NAME; several, or repeated",
    )
    query.add_argument(
        "--where",
        action="append",
        default=[],
        type=_pair,
        metavar="FIELD=VALUE",
        help="only these; repeat it for more",
    )
    _add_span(query)
    query.add_argument("--window", metavar="DURATION", help="an estimate for each, as in 1h (default: one for all)")
    query.add_argument(
        "--statistic",
        default="mean",
        metavar="NAME",
        help="mean, proportion, total, min, max, corpus, self_similarity, distinct_words or p50, p95 … (default: mean)",
    )
    query.add_argument(
        "--per", metavar="METRIC", help="divided by another metric's total: cost_usd --per task_completed"
    )
    query.add_argument(
        "--confidence", type=_confidence, default=0.95, metavar="LEVEL", help="of the interval (default: .95)"
    )
    query.add_argument(
        "--missing", action="store_true", help="instead of estimates: why scores have no value, and how many"
    )
    query.add_argument(
        "--worst-case", action="store_true", help="also bounds that hold whatever the missing scores are"
    )
    query.add_argument(
        "--threshold", type=float, metavar="NUMBER", help="with --worst-case: could missing scores cross it?"
    )
    query.add_argument("--format", choices=("table", "json", "csv"), default="table", help="json: one object a line")
    _add_plot(query)


def _add_drift(add: _Adder) -> None:
    drift = add("drift", "evalsvc._cli_drift:drift", "what moved between two windows: scores, texts, languages, topics")
    drift.add_argument("metrics", nargs="*", metavar="METRIC", help="only these (default: every one with scores)")
    _add_span(drift)
    drift.add_argument(
        "--baseline",
        default="7d",
        metavar="SPAN",
        help="how far back the same hours are compared, or START/END (default: 7d, the same hours a week ago)",
    )
    drift.add_argument(
        "--where",
        action="append",
        default=[],
        type=_pair,
        metavar="FIELD=VALUE",
        help="only these; repeat it for more",
    )
    drift.add_argument(
        "--evidently", metavar="FILE", help="write evidently's report as HTML as well; needs evalsvc[reports]"
    )
    drift.add_argument(
        "--examples",
        type=_whole,
        default=3,
        metavar="N",
        help="events of each cluster of texts that grew, where topics moved; 0 looks for none (default: 3)",
    )
    drift.add_argument(
        "--matters",
        action="append",
        default=[],
        type=_pair,
        metavar="DETECTOR=EFFECT",
        help="the smallest effect that matters, as in chi_square=0.02; repeat it for more",
    )
    drift.add_argument(
        "--classifier",
        action="store_true",
        help="train a classifier to tell the windows' texts apart as well, on up to 1,000 a window; takes seconds",
    )
    drift.add_argument(
        "--confidence", type=_confidence, default=0.95, metavar="LEVEL", help="of intervals and tests (default: .95)"
    )
    drift.add_argument("--format", choices=("table", "json", "csv"), default="table", help="json: one object a line")
    _add_plot(drift)


def _add_fairness(add: _Adder) -> None:
    fair = add(
        "fairness", "evalsvc._cli_fairness:fairness", "groups compared: gaps with intervals that allow for chance"
    )
    fair.add_argument("metric", metavar="METRIC", help="as in refusal or rouge_l; its mean is compared")
    fair.add_argument(
        "--by",
        action="append",
        required=True,
        metavar="FIELD,…",
        help="what makes a group, as in segments.plan; several, or repeated: their intersections",
    )
    fair.add_argument(
        "--where", action="append", default=[], type=_pair, metavar="FIELD=VALUE", help="only these; repeat it for more"
    )
    _add_span(fair)
    fair.add_argument("--window", metavar="DURATION", help="compare in each, and the trend of the worst-off group")
    fair.add_argument(
        "--min-group", type=_count, default=30, metavar="N", help="suppress groups of fewer scored events (default: 30)"
    )
    fair.add_argument(
        "--complementary", action="store_true", help="where only one group is suppressed, suppress the next as well"
    )
    fair.add_argument("--reference", metavar="GROUP", help="compare with this group instead of all the others")
    fair.add_argument("--standardise", metavar="FIELD", help="compare at one mix of this field, as in segments.intent")
    fair.add_argument(
        "--adjust", choices=("holm", "bh"), default="holm", help="p-values for many groups (default: holm)"
    )
    fair.add_argument(
        "--target",
        choices=("process", "window"),
        default="process",
        help="the system behind the events, or these events alone (default: process)",
    )
    fair.add_argument(
        "--confidence", type=_confidence, default=0.95, metavar="LEVEL", help="of the intervals (default: .95)"
    )
    fair.add_argument(
        "--format", choices=("table", "json", "csv"), default="table", help="json: one object a comparison"
    )
    _add_plot(fair)


def _add_rubric(add: _Adder) -> None:
    rubric = add("rubric", "evalsvc._cli_rubric:rubric", "which model to choose: scores, evidence, and a record")
    rubric.add_argument("file", metavar="FILE", help="NAME.rubric.yaml")
    rubric.add_argument(
        "--format",
        choices=("table", "json", "markdown", "html"),
        default="table",
        help="markdown: the record to keep; html: one page (default: table)",
    )
    rubric.add_argument("--seed", type=_whole, default=7, metavar="N", help="of what is drawn (default: 7)")


def _add_audit_set(add: _Adder) -> None:
    audit = add(
        "audit-set", "evalsvc._cli_audit_set:audit_set", "is a set of cases fit for its purpose; what to add next"
    )
    audit.add_argument(
        "cases",
        nargs="+",
        metavar="CASES",
        help="the set to audit; further ones should share no case with it, such as the one that prompts are tuned on",
    )
    for name, default, text in (
        ("margin", 0.05, "how much worse a candidate may be, as a share"),
        ("power", 0.8, "the chance that an equal version passes"),
        ("level", 0.05, "the one-sided error of the test"),
        ("discordant", 0.2, "on which share of cases two versions are expected to differ"),
        ("icc", 0.2, "how alike cases of one group are, 0 to 1"),
    ):
        help_text = f"{text} (default: {default:g})"
        audit.add_argument(f"--{name}", type=float, default=default, metavar="SHARE", help=help_text)
    audit.add_argument(
        "--production",
        nargs="?",
        const="store",
        default="",
        metavar="FILE",
        help="compare with production: with the store's events, or with a FILE that `evalsvc cases draw` wrote",
    )
    audit.add_argument(
        "--where", action="append", default=[], type=_pair, metavar="FIELD=VALUE", help="only these; repeat it for more"
    )
    _add_span(audit, default="30d")
    audit.add_argument(
        "--as-of", type=_day, metavar="DATE", help="the set's day: has what is asked moved since, by the store?"
    )
    audit.add_argument(
        "--picks", type=_whole, default=20, metavar="N", help="production examples to label next (default: 20)"
    )
    audit.add_argument("--picks-to", metavar="FILE", help="also write these as cases, as JSON lines")
    audit.add_argument("--format", choices=("table", "json", "markdown"), default="table", help="default: table")


def _add_fit(add: _Adder) -> None:
    fit = add("fit", "evalsvc._cli_fit:fit_detector", "fit a detector to labelled rows, with held-out figures")
    fit.add_argument(
        "task", metavar="TASK", help="faithfulness, or one or several of toxicity,prompt_injection,refusal"
    )
    fit.add_argument(
        "--data", nargs="+", required=True, metavar="FILE", help="labelled rows: JSONL, CSV or Parquet, also .gz"
    )
    fit.add_argument(
        "--group", default="group", metavar="FIELD", help="what rows that belong together share (default: group)"
    )
    fit.add_argument("--out", default="fitted", metavar="DIR", help="for the detector and its report (default: fitted)")
    parted = fit.add_mutually_exclusive_group()
    parted.add_argument("--folds", type=_count, default=5, metavar="K", help="of the cross-validation (default: 5)")
    parted.add_argument(
        "--hold-out",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="train once, and measure on this share of the groups, instead of folds",
    )
    fit.add_argument("--seed", type=_whole, default=0, metavar="N", help="of folds and training (default: 0)")
    fit.add_argument("--epochs", type=_count, metavar="E", help="how often a row is seen at most")
    fit.add_argument(
        "--made", type=_whole, default=0, metavar="N", help="learn also from N responses made from the rows' contexts"
    )
    fit.add_argument(
        "--from", dest="before", metavar="FILE", help="start from this detector, or from the `shipped` one"
    )
    limit = fit.add_mutually_exclusive_group()
    limit.add_argument(
        "--false-alarms",
        type=float,
        metavar="RATE",
        help="the threshold: at most this share of rows without it counts as found (default: 0.05)",
    )
    limit.add_argument(
        "--miss-costs",
        type=float,
        metavar="COST",
        help="the threshold of least cost: a miss costs so many false alarms",
    )
    fit.add_argument("--restart", action="store_true", help="begin anew, whatever an interrupted fit left")
    fit.add_argument(
        "--device", default="auto", metavar="DEVICE", help="cpu, cuda or cuda:1 (default: the GPU, if any)"
    )
    fit.add_argument("--json", action="store_true", help="print the report's numbers as JSON")


def _add_plot(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--plot", metavar="FILE", help="also draw it with its intervals, into a .png or a self-contained .html"
    )


def _add_anchors(add: _Adder) -> None:
    anchors = add("anchors", "evalsvc._cli_anchors:anchors", "score frozen cases again, to tell a scorer's drift")
    anchors.add_argument("action", choices=("run",), help="run: score all cases now, whatever `every` says")
    anchors.add_argument(
        "consumer", nargs="?", metavar="CONSUMER", help="its file or name (default: every one with `anchors`)"
    )


def _add_backtest(add: _Adder) -> None:
    test = add("backtest", "evalsvc._cli_backtest:backtest", "what alert rules would have done on your own history")
    test.add_argument("file", metavar="FILE", help="of rules, as in alerts/quality.rules.yaml")
    test.add_argument("alert", nargs="?", metavar="ALERT", help="only this one (default: every rule of the file)")
    _add_span(test, default="14d")
    test.add_argument(
        "--drop",
        action="append",
        default=[],
        type=_share,
        metavar="SHARE",
        help="a change to plant, as a share of the scale; repeat it for more (default: .02, .05 and .1)",
    )
    test.add_argument("--format", choices=("table", "json"), default="table", help="json: one object a line")


def _add_test(add: _Adder) -> None:
    test = add(
        "test", "evalsvc._cli_ruletest:test", "tests of alert rules: made-up scores, virtual time, the ruler's looks"
    )
    test.add_argument(
        "paths", nargs="*", metavar="PATH", help="files or folders (default: the project's alerts folder)"
    )
    test.add_argument("--format", choices=("text", "json"), default="text", help="json: one object a test")
    test.add_argument("--junit", metavar="FILE", help="also write the results as JUnit XML, as CI servers read it")


def _add_gate(add: _Adder) -> None:
    gate = add(
        "gate",
        "evalsvc._cli_gate:gate",
        "may this version ship? Runs suites; ends with 0 pass, 1 fail, 2 error, 3 inconclusive",
    )
    gate.add_argument("paths", nargs="*", metavar="PATH", help="suites (*.suite.yaml) or folders (default: suites/)")
    gate.add_argument(
        "--answers", metavar="FILE", help="the candidate's recorded answers, in place of the suite's model"
    )
    gate.add_argument("--power", action="store_true", help="ask nothing: say what the suite can detect")
    gate.add_argument("--sample", type=_count, metavar="N", help="ask about N cases only, drawn by the suite's seed")
    gate.add_argument("--budget", type=_dollars, metavar="USD", help="stop asking at this cost; before the suite's own")
    gate.add_argument("--no-cache", action="store_true", help="ask and score everything anew, and keep nothing")
    gate.add_argument(
        "--inconclusive",
        choices=("code", "fail", "pass"),
        default="code",
        help="what an inconclusive verdict ends with: 3, 1 or 0 (default: code, which is 3)",
    )
    gate.add_argument("--format", choices=("table", "markdown", "json"), default="table", help="json: a line a suite")
    gate.add_argument("--markdown", metavar="FILE", help="write the summary for a pull request")
    gate.add_argument("--junit", metavar="FILE", help="write JUnit XML")
    gate.add_argument(
        "--html", metavar="FILE", help="write the report; of several suites, and in a folder, one file each"
    )
    gate.add_argument(
        "--record", action="store_true", help="write verdict and scores, without texts, to the project's store"
    )
    gate.add_argument(
        "--again", metavar="VERDICT", help="decide a kept or recorded verdict again from its records, and compare"
    )


def _add_verdicts(add: _Adder) -> None:
    module, formats = "evalsvc._cli_verdicts", ("table", "json")
    parent = add("verdicts", f"{module}:listed", "what gates decided, as the store remembers it (gate --record)")
    parent.set_defaults(suite="", since="30d", until="now", limit=100, format="table")
    sub = _Adder(parent.add_subparsers(title="actions", metavar="ACTION"), add.common)
    every = sub("list", f"{module}:listed", "the last verdicts (as without an action)")
    # Left out, each stays as it was given before the action, else at the default above.
    absent = argparse.SUPPRESS
    for command in (parent, every):
        command.add_argument("--suite", default=absent, metavar="NAME", help="of this suite alone")
        command.add_argument("--since", default=absent, metavar="TIME", help="7d, 2026-01-31 … (default: 30d)")
        command.add_argument("--until", default=absent, metavar="TIME", help="the end, not included (default: now)")
        command.add_argument(
            "--limit", type=_count, default=absent, metavar="N", help="at most, newest first (default: 100)"
        )
    show = sub("show", f"{module}:show", "one verdict: every gate with its numbers and why")
    show.add_argument("id", metavar="VERDICT", help="as `evalsvc verdicts` lists it")
    for command in (parent, every, show):
        command.add_argument("--format", choices=formats, default=absent, help="json: one object a line")


def _add_baseline(add: _Adder) -> None:
    module, kept = "evalsvc._cli_baseline", "evalsvc._cli_baseline_store"
    parent = add("baseline", f"{kept}:listed", "what suites compare with: list, promote, fetch, score again")
    parent.set_defaults(paths=[])
    sub = _Adder(parent.add_subparsers(title="actions", metavar="ACTION"), add.common)
    listed = sub("list", f"{kept}:listed", "the baselines of suites, and the store's (as without an action)")
    listed.add_argument("paths", nargs="*", metavar="PATH", help="suites or folders (default: suites/)")
    promote = sub("promote", f"{module}:promote", "make a run's candidate the baseline of its suite")
    rescore = sub("rescore", f"{module}:rescore", "score a baseline's answers by the suite's scorers of today")
    frozen = sub("from-production", f"{module}:from_production", "freeze estimates of production as a baseline")
    show = sub("show", f"{kept}:show", "every promotion of a baseline that the store remembers, the last first")
    fetch = sub("fetch", f"{kept}:fetch", "take from the store what the pointer pins, or the last promoted")
    record = sub("record", f"{kept}:record", "write the baseline in the files to the store")
    _add_span(frozen, default="7d")
    frozen.add_argument(
        "--where", action="append", default=[], type=_pair, metavar="FIELD=VALUE", help="only these; repeat it for more"
    )
    for command in (promote, rescore, frozen, show, fetch, record):
        command.add_argument("suite", type=shown_path, metavar="SUITE", help="its file")
        command.add_argument("--name", help="of the baseline (default: the one that the suite names)")
    for command in (promote, rescore, frozen):
        command.add_argument("--by", help="who says so (default: you, as git or the system knows you)")
        command.add_argument("--no-store", action="store_true", help="write the files alone")
    for command in (promote, frozen):
        command.add_argument("--because", required=True, metavar="TEXT", help="why; it is kept with the baseline")
    show.add_argument("--limit", type=_count, default=100, metavar="N", help="at most, newest first (default: 100)")
    fetch.add_argument("--latest", action="store_true", help="the last promoted, in place of what the pointer pins")
    promote.add_argument("--run", metavar="VERDICT", help="whose candidate (default: the last run, or a first one)")
    promote.add_argument("--answers", metavar="FILE", help="recorded answers of the version, in place of its last run")
    promote.add_argument("--whole", action="store_true", help="ask every case of the set first, without looks")
    promote.add_argument("--despite", action="store_true", help="even though its verdict is not PASS")


def _add_cache(add: _Adder) -> None:
    module, formats = "evalsvc._cli_cache", ("table", "json")
    parent = add("cache", f"{module}:show", "what gates keep on disk: answers, scores, runs and records; prune them")
    parent.set_defaults(format="table")
    sub = _Adder(parent.add_subparsers(title="actions", metavar="ACTION"), add.common)
    shown = sub("show", f"{module}:show", "how much of each there is (as without an action)")
    prune = sub("prune", f"{module}:remove", "remove what is old; never what a baseline points to")
    prune.add_argument(
        "--older-than",
        metavar="DURATION",
        help="as in 30d: answers and scores not used since, and runs decided before",
    )
    prune.add_argument(
        "--keep",
        type=_whole,
        metavar="N",
        help="the newest runs of each suite stay, however old; alone, all others go (default: 1)",
    )
    prune.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    for command in (parent, shown, prune):
        # Left out, it stays as it was given before the action, else at the default above.
        command.add_argument(
            "--format", choices=formats, default=argparse.SUPPRESS, help="json: one object a line, sizes in bytes"
        )


def _add_schema(add: _Adder) -> None:
    schema = add(
        "schema", "evalsvc._cli_schema:schema", "the JSON Schema of a kind of file, for editors that complete it"
    )
    schema.add_argument(
        "of",
        choices=("rules", "tests", "routes", "suite", "rubric"),
        help="NAME.rules.yaml, NAME.test.yaml, routes.yaml, NAME.suite.yaml, or NAME.rubric.yaml",
    )


def _add_alerts(add: _Adder) -> None:
    module, formats = "evalsvc._cli_alerts", ("table", "json", "csv")
    alerts = add("alerts", f"{module}:list_alerts", "what fires and is pending; show, acknowledge and silence alerts")
    alerts.set_defaults(phase="", all=False, where=[], format="table")
    sub = _Adder(alerts.add_subparsers(title="actions", metavar="ACTION"), add.common)
    listed = sub("list", f"{module}:list_alerts", "what fires and is pending (as without an action)")
    for command in (alerts, listed):
        # Left out, each stays as it was given before the action, else at the default above.
        absent = argparse.SUPPRESS
        command.add_argument(
            "--phase",
            default=absent,
            metavar="PHASE,…",
            help="firing, pending, resolved, inactive (default: the first two)",
        )
        command.add_argument("--all", action="store_true", default=absent, help="in every phase")
        command.add_argument(
            "--where",
            action="append",
            default=absent,
            metavar="LABEL=VALUE",
            help="only these, also LABEL=~REGEX; may repeat",
        )
    show = sub("show", f"{module}:show", "one alert: what moved, its history, who was told")
    ack = sub("ack", f"{module}:acknowledge", "say that you look after an alert; it goes on, and its end is told")
    close = sub("close", f"{module}:close", "end an alert that gets no data any more; it is told to be over")
    for command in (show, ack, close):
        command.add_argument("fingerprint", metavar="FINGERPRINT", help="16 digits, or at least the first 4")
    ack.add_argument("--note", default="", metavar="TEXT", help="for those who look next")
    silence = sub("silence", f"{module}:silence", "tell nobody of some alerts for a while")
    silence.add_argument("matchers", nargs="+", metavar="LABEL=VALUE", help="all have to match; also LABEL=~REGEX")
    silence.add_argument("--for", dest="lasts", required=True, metavar="DURATION", help="as in 2h; at most 30d")
    silence.add_argument("--reason", required=True, metavar="TEXT", help="why")
    silence.add_argument("--all", dest="everything", action="store_true", help="even where that is every alert")
    close.add_argument("--reason", required=True, metavar="TEXT", help="why; receivers are told, too")
    for command in (ack, close, silence):
        command.add_argument(
            "--author", metavar="NAME", help="who you are (default: EVALSVC_USER, else the login name)"
        )
    silences = sub("silences", f"{module}:silences", "the silences in force")
    silences.add_argument("--all", dest="everything", action="store_true", help="those that are over, too")
    unsilence = sub("unsilence", f"{module}:unsilence", "end a silence now")
    unsilence.add_argument("id", metavar="ID", help="as `silences` lists it")
    trial = sub(
        "trial",
        "evalsvc._cli_alerts_trial:send",
        "send receivers a made-up alert and its end; exits with 1 where one fails",
    )
    trial.add_argument("receiver", nargs="?", metavar="RECEIVER", help="a name of routes.yaml (default: every one)")
    history = sub("history", f"{module}:history", "changes of phase, and who was told of them")
    _add_span(history, default="7d")
    history.add_argument("--limit", type=_count, default=100, metavar="N", help="at most, newest first (default: 100)")
    for command in (alerts, listed, show, silences, history):
        command.add_argument(
            "--format", choices=formats, default=argparse.SUPPRESS, help="json: one object a line (default: table)"
        )


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0.0 < share <= 1.0:
        percent = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text)
        hint = f"; write {float(percent[1]) / 100:.12g}" if percent else ""
        raise argparse.ArgumentTypeError(f"expected a share above 0 and up to 1, but got {text!r}{hint}")
    return share


def _add_dead_letters(add: _Adder) -> None:
    letters = add(
        "dead-letters", "evalsvc._cli_dead_letters:dead_letters", "records that were no events: where, and why"
    )
    letters.add_argument("--consumer", metavar="NAME", help="only this consumer's (default: every one's)")
    letters.add_argument("--reason", metavar="CODE", help="only those with this reason, as in not_json")
    _add_span(letters, of="an ISO time of receipt")
    letters.add_argument(
        "--limit", type=_count, default=20, metavar="N", help="how many places at most, newest first (default: 20)"
    )
    letters.add_argument("--format", choices=("table", "json", "csv"), default="table", help="json: one object a line")


def _add_scorers(add: _Adder) -> None:
    listed = add("scorers", "evalsvc._cli_scorers:list_scorers", "every scorer: what it measures, costs and needs")
    listed.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="everything about these; also module:attribute, as in a consumer's file",
    )
    listed.add_argument(
        "--consumer", metavar="FILE", help="those of this consumer's file, built with the options that it gives"
    )
    listed.add_argument("--format", choices=("table", "json"), default="table", help="json: one object a line")


def _add_cases(add: _Adder) -> None:
    module = "evalsvc._cli_cases"
    cases = add("cases", f"{module}:check", "what suites ask: draw cases from production, compare, look at them")
    sub = _Adder(cases.add_subparsers(title="actions", metavar="ACTION", required=True), add.common)
    draw = sub("draw", f"{module}:draw", "draw cases from the masked events of the store, with their weights")
    draw.add_argument("--out", required=True, metavar="FILE", help="to write, ending in .jsonl or .jsonl.gz")
    draw.add_argument("--replace", action="store_true", help="replace the file if it is there")
    draw.add_argument("--n", type=_count, default=200, metavar="N", help="how many cases (default: 200)")
    _add_span(draw, default="7d")
    draw.add_argument(
        "--where", action="append", default=[], type=_pair, metavar="FIELD=VALUE", help="only these; repeat it for more"
    )
    draw.add_argument(
        "--by",
        action="append",
        default=[],
        metavar="FIELD,…",
        help="equally many of each, as in segments.language; several, or repeated: of each combination",
    )
    draw.add_argument("--metric", metavar="METRIC", help="of the events with its scores (default: that with most)")
    draw.add_argument(
        "--worst",
        type=_whole,
        default=0,
        metavar="N",
        help="so many of the cases are the worst by --metric (default: 0)",
    )
    draw.add_argument(
        "--reference", choices=("own", "response"), default="own", help="whose text is the reference (default: own)"
    )
    draw.add_argument("--seed", type=_whole, default=0, metavar="N", help="another one draws others (default: 0)")
    _add_variants(sub)
    diff = sub("diff", f"{module}:diff", "what changed between two versions of a set, by the cases' names")
    diff.add_argument("old", metavar="OLD", help="file or folder of cases")
    diff.add_argument("new", metavar="NEW", help="file or folder of cases")
    diff.add_argument("--format", choices=("text", "json"), default="text", help="json: one object")
    check = sub("check", f"{module}:check", "read a set: every mistake, else its version and what it holds")
    check.add_argument("--format", choices=("text", "json"), default="text", help="json: one object")
    bring = sub("import", f"{module}:bring", "read foreign cases, and write them in our format")
    bring.add_argument("--out", required=True, metavar="FILE", help="to write, ending in .jsonl or .jsonl.gz")
    bring.add_argument("--replace", action="store_true", help="replace the file if it is there")
    for command in (check, bring):
        command.add_argument("file", metavar="FILE", help="JSONL, CSV, Parquet, or a folder in Hugging Face's layout")
        command.add_argument(
            "--field",
            action="append",
            default=[],
            type=_pair,
            metavar="FROM=TO",
            help="a column that is a case's field",
        )
        command.add_argument("--split", default="", metavar="NAME", help="of a folder, as in test")
        command.add_argument("--config", default="", metavar="NAME", help="of a folder whose README has several")
        command.add_argument(
            "--merge", action="store_true", help="make cases of one content one, of their common weight, not a mistake"
        )


def _add_variants(sub: _Adder) -> None:
    module = "evalsvc._cli_cases"
    vary = sub("vary", f"{module}:vary", "cases with variants: typos, other words, injected instructions …")
    vary.add_argument("file", metavar="FILE", help="file or folder of cases")
    vary.add_argument(
        "--kind",
        action="append",
        required=True,
        metavar="KIND,…",
        help="as in typos; several, or repeated; all for every one (docs/how-to/robustness.md)",
    )
    attack = sub("attack", f"{module}:attack", "cases that attack a model: injected commands, a system prompt to tell")
    attack.add_argument("file", nargs="?", metavar="FILE", help="cases to inject commands into")
    attack.add_argument("--system-prompt", metavar="FILE", help="a text that must not be told")
    for command in (vary, attack):
        command.add_argument("--out", required=True, metavar="FILE", help="to write, ending in .jsonl or .jsonl.gz")
        command.add_argument("--replace", action="store_true", help="replace the file if it is there")
        command.add_argument(
            "--seed", type=_whole, default=0, metavar="N", help="another one makes others (default: 0)"
        )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a number above 0, but got {text!r}")
    return int(text)


def _dollars(text: str) -> float:
    try:
        dollars = float(text)
    except ValueError:
        dollars = 0.0
    if not 0.0 < dollars < float("inf"):
        raise argparse.ArgumentTypeError(f"expected dollars above 0, but got {text!r}")
    return dollars


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a date, as in 2026-01-31, but got {text!r}") from None


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"expected a whole number, 0 or more, but got {text!r}")
    return int(text)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, but got {text!r}")
    return int(text)


def _confidence(text: str) -> float:
    try:
        level = float(text)
    except ValueError:
        level = 0.0
    if not 0.0 < level < 1.0:
        raise argparse.ArgumentTypeError(f"expected a level between 0 and 1, as in .95, but got {text!r}")
    return level


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, but got {text!r}")
    return key, value


def _run(options: argparse.Namespace) -> int:
    verbose = getattr(options, "verbose", False)
    try:
        from evalsvc._cli_output import set_up_logging

        set_up_logging(getattr(options, "log_format", "text"), verbose, quiet=not getattr(options, "chatty", False))
        module, _, name = options.handler.partition(":")
        handler: Handler = getattr(importlib.import_module(module), name)
        code = handler(options)
        sys.stdout.flush()
        return code
    except EvalsvcError as error:
        if verbose:
            _show_traceback()
        print(f"evalsvc: {harmless(str(error))}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        print("evalsvc: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at exit, which would print a traceback of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED
    except Exception as error:
        _show_traceback()
        print(
            f"evalsvc: this is a bug in evalsvc, not a mistake of yours: {type(error).__name__}",
            file=sys.stderr,
        )
        return INTERNAL


def _show_traceback() -> None:
    import traceback

    traceback.print_exc(file=sys.stderr)


def _entry() -> NoReturn:
    sys.exit(main())


if __name__ == "__main__":
    _entry()
