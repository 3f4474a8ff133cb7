"""The verbs of the command line, each with its module and a sentence about it."""

from typing import ClassVar

from greenroom.cli.command_group import Verbs


class Root(Verbs):
    """All verbs. A verb's module is imported when the verb is typed."""

    lazy: ClassVar[dict[str, tuple[str, str]]] = {
        "demo": (
            "greenroom.cli.commands.demo.demo:demo",
            "A demonstration: real faults, recovery, a scored result. No key, no network.",
        ),
        "run": (
            "greenroom.cli.commands.runs.run:run",
            "Start a workflow, or go on with a run, and follow it to its result.",
        ),
        "serve": (
            "greenroom.cli.commands.serving.serve:serve",
            "An orchestrator with its HTTP API and dashboard, until Ctrl+C.",
        ),
        "runs": (
            "greenroom.cli.commands.runs.runs:runs",
            "Look at runs and steer them: list, show, events, result, pause, resume ...",
        ),
        "schedules": (
            "greenroom.cli.commands.schedules:schedules",
            "Start workflows repeatedly: list, show, create, pause, resume, trigger, delete.",
        ),
        "send": ("greenroom.cli.commands.runs.send:send", "Send a run a message."),
        "sessions": (
            "greenroom.cli.commands.sessions.sessions:sessions",
            "Durable actors with a key: list, show, ask, tell, close.",
        ),
        "dead-letters": (
            "greenroom.cli.commands.dead_letters:dead_letters",
            "Messages and steps that kept failing: list, redrive, drop.",
        ),
        "approvals": (
            "greenroom.cli.commands.approvals:approvals",
            "What runs ask people: list, approve, reject, edit.",
        ),
        "actors": (
            "greenroom.cli.commands.actors:actors",
            "The processes of a running orchestrator: tree, list, kill, restart.",
        ),
        "mcp": ("greenroom.cli.commands.serving.mcp:mcp", "A served orchestrator as an MCP server, for MCP clients."),
        "metrics": (
            "greenroom.cli.commands.maintenance.metrics:metrics",
            "Latencies, retries, crashes and success rates from the journal.",
        ),
        "eval": (
            "greenroom.cli.commands.evaluation.eval:evaluate",
            "Run cases through a workflow, have evaluators rate the results, report the pass rate.",
        ),
        "chaos": (
            "greenroom.cli.commands.chaos.chaos:chaos",
            "Inject faults while workflows run, and check that all recovers: run.",
        ),
        "check": (
            "greenroom.cli.commands.maintenance.check:check",
            "Replay unfinished runs with the present code, and report those that it does not fit.",
        ),
        "db": ("greenroom.cli.commands.maintenance.db:db", "The journal itself: verify, reindex, accept-loss."),
        "doctor": ("greenroom.cli.commands.maintenance.doctor:doctor", "Check that this machine has what is needed."),
        "version": (
            "greenroom.cli.commands.maintenance.version:version",
            "Versions of this package, of Python and of SQLite.",
        ),
    }
