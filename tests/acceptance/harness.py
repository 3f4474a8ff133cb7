"""Witnesses of the acceptance tests: a census of processes and a reading of the journal that share no code with the engine."""

import hashlib
import json
import os
import shutil
import sqlite3  # noqa: TID251  the witness must not read with the library that wrote
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from greenroom.messages.codecs.event_codec import decode_event
from tests.support import eventually

MARK = "ACCEPTANCE_MARK"
"""Environment variable by which every process of a test is known; workers get it through their pools."""
KINDS = ("program", "tool", "llm", "evaluator")


def reached(folder: Path, name: str = "gate") -> int:
    """Wait until a run stands before a gate; give the pid of the worker that waits there."""
    path = folder / f"{name}.reached"
    return int(eventually(lambda: path.exists() and path.read_text().split(), what=f"reaching {name}")[-1])


# ---------------------------------------------------------------- processes


def census(mark: str) -> list[psutil.Process]:
    """Give every living process but this one that has the mark in its environment, command line or open files."""
    wanted = os.fsencode(mark)
    others = (process for process in psutil.process_iter() if process.pid != os.getpid())
    return [process for process in others if wanted in _traces(process.pid)]


def _traces(pid: int) -> bytes:
    """Read all that ties a process to a test; nothing where it is gone or a zombie."""
    found = b""
    for name in ("environ", "cmdline"):
        try:
            found += Path(f"/proc/{pid}/{name}").read_bytes() + b"\0"
        except OSError:
            continue
    try:
        links = list(os.scandir(f"/proc/{pid}/fd"))
    except OSError:
        return found
    for link in links:
        try:
            found += bytes(Path(link.path).readlink()) + b"\0"
        except OSError:
            continue
    return found


def is_over(pid: int, started: float | None = None) -> bool:
    """Say whether a process has ended; a zombie has."""
    try:
        process = psutil.Process(pid)
        return process.status() == psutil.STATUS_ZOMBIE or (started is not None and process.create_time() != started)
    except psutil.NoSuchProcess:
        return True


def describe(processes: list[psutil.Process]) -> list[str]:
    """Say what processes are, for a failed test."""
    found = []
    for process in processes:
        try:
            found.append(f"{process.pid} {process.status()} {' '.join(process.cmdline()) or process.name()}")
        except psutil.Error:
            continue
    return found


# ---------------------------------------------------------------- the journal


@dataclass
class RunLog:
    """The events of one run as another program reads them."""

    row: dict[str, Any]
    events: list[dict[str, Any]] = field(default_factory=list)
    lines: list[tuple[int, str, bytes]] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)

    def of(self, *types: str) -> list[dict[str, Any]]:
        """Give the events of some types."""
        return [event for event in self.events if event["type"] in types]

    def completed(self) -> set[str]:
        """Give the keys of the steps that are recorded as completed."""
        return {event["key"] for event in self.of("step.completed")}


def read_journal(path: Path) -> dict[str, RunLog]:
    """Read a journal whose orchestrator is closed or dead, from a copy, so that looking changes nothing."""
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("", "-wal"):
            source = path.with_name(path.name + suffix)
            if source.exists():
                shutil.copy(source, Path(folder, "copy.db" + suffix))
        database = sqlite3.connect(Path(folder, "copy.db"))
        database.row_factory = sqlite3.Row
        try:
            assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            runs = {row["id"]: RunLog(dict(row)) for row in database.execute("SELECT * FROM runs ORDER BY number")}
            for row in database.execute("SELECT run_id, seq, body FROM events ORDER BY run_id, seq"):
                log = runs[row["run_id"]]
                log.seqs.append(row["seq"])
                log.events.append(json.loads(decode_event(row["body"].encode()).model_dump_json()))
            for run_id, *line in database.execute(
                "SELECT run_id, seq, coalesce(lines.body, blobs.body), lines.hash FROM event_lines AS lines "
                "LEFT JOIN blobs ON blobs.hash = lines.blob ORDER BY run_id, seq"
            ):
                runs[run_id].lines.append(tuple(line))
        finally:
            database.close()
    return runs


def query(path: Path, sql: str, *values: Any) -> list[Any]:
    """Ask a journal that is in use; the connection can only read."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10.0)
    try:
        return database.execute(sql, values).fetchall()
    finally:
        database.close()


def broken_invariants(runs: dict[str, RunLog], effects: list[dict[str, Any]]) -> list[str]:
    """Check a journal and the effect log beside it; give a sentence for everything that must not be."""
    found: list[str] = []
    tokens: Counter[str] = Counter()
    for run_id, log in runs.items():
        if log.seqs != list(range(1, len(log.seqs) + 1)) or log.row["last_seq"] != len(log.seqs):
            found.append(f"{run_id}: sequence numbers have gaps: {log.seqs}, the index says {log.row['last_seq']}")
        found += [f"{run_id}: {fault}" for fault in _broken_chain(run_id, log)]
        tokens.update(event["token"] for event in log.of("attempt.started"))
        epochs = [int(event["token"].split(":")[0]) for event in log.of("attempt.started")]
        if epochs != sorted(epochs):
            found.append(f"{run_id}: epochs fall: {epochs}")
        found += [f"{run_id}: {fault}" for fault in _broken_steps(log)]
    found += [f"token {token} was given {count} times" for token, count in tokens.items() if count > 1]
    return found + _broken_effects(runs, effects)


def _broken_chain(run_id: str, log: RunLog) -> list[str]:
    """Hash every line of events anew: SHA-256 over the hash before, the sequence number, a colon and the body."""
    last = hashlib.sha256(run_id.encode()).digest()
    for seq, body, stored in log.lines:
        last = hashlib.sha256(last + f"{seq}:{body}".encode()).digest()
        if last != stored:
            return [f"the hash chain breaks at event {seq}"]
    return [] if last == log.row["head"] else ["the index does not hold the newest hash"]


def _broken_steps(log: RunLog) -> list[str]:
    found: list[str] = []
    for kind in ("step.scheduled", "step.completed", "step.failed", "run.completed", "run.failed", "child.ended"):
        keys = Counter(event.get("key", "") for event in log.of(kind))
        found += [f"{count} times {kind} for {key!r}" for key, count in keys.items() if count > 1]
    started: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in log.events:
        if event["type"] == "attempt.started":
            started[event["key"]].append(event)
        elif event["type"] in {"attempt.ended", "step.completed"} and not started[event["key"]]:
            found.append(f"{event['key']}: {event['type']} without a start")
        elif event["type"] == "attempt.ended" and event["token"] != started[event["key"]][-1]["token"]:
            found.append(f"{event['key']}: attempt {event['attempt']} ended under a token that was not the newest")
        elif event["type"] == "step.completed" and event["attempt"] != started[event["key"]][-1]["attempt"]:
            found.append(f"{event['key']}: the result is not that of the latest attempt")
    for key, attempts in started.items():
        if [event["attempt"] for event in attempts] != list(range(1, len(attempts) + 1)):
            found.append(f"{key}: attempts are numbered {[event['attempt'] for event in attempts]}")
    return found


def _broken_effects(runs: dict[str, RunLog], effects: list[dict[str, Any]]) -> list[str]:
    """An effect belongs to one attempt; a newer one is never followed by an older; a result has exactly one."""
    found: list[str] = []
    count = Counter(line["token"] for line in effects)
    found += [f"token {token} had {number} effects" for token, number in count.items() if number > 1]
    by_step: dict[tuple[str, str], list[str]] = defaultdict(list)
    for line in effects:
        by_step[line["run"], line["step"]].append(line["token"])
    for (run_id, key), tokens in by_step.items():
        order = [tuple(map(int, token.split(":"))) for token in tokens]
        if order != sorted(order):
            found.append(f"{run_id} {key}: effects of older tokens follow newer ones: {tokens}")
        log = runs.get(run_id)
        if log is None:
            found.append(f"{run_id} {key}: effects of a run that the journal does not know")
            continue
        ended = {event["attempt"]: event["token"] for event in log.of("attempt.ended") if event["key"] == key}
        done = [event for event in log.of("step.completed") if event["key"] == key]
        if done and tokens[-1] != (token := ended.get(done[0]["attempt"])):
            found.append(f"{run_id} {key}: completed under {token}, but effects are {tokens}")
    return found


# ---------------------------------------------------------------- orchestrators


def pools(**changes: Any) -> dict[str, Any]:
    """Give pools of every kind whose workers carry the mark."""
    from greenroom import Pool  # noqa: PLC0415  the harness is also imported where nothing of the engine is wanted

    return {kind: Pool(env=(MARK,), **changes.get(kind, {})) for kind in KINDS}
