"""A real worker process and the orchestrator's end of its socket."""

import os
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Any

from greenroom.messages.codecs.codec import FROM_WORKER, TO_WORKER, FrameDecoder
from greenroom.messages.core.json_text import shown
from greenroom.messages.core.message import Json
from greenroom.messages.frames.worker import (
    Abort,
    Evaluate,
    Execute,
    FromWorker,
    Heartbeat,
    Stop,
    ToWorker,
    WorkerSpec,
)
from greenroom.messages.options.policy import WorkerKind

ROOT = Path(__file__).resolve().parent.parent.parent
MAIN = """
import json, os, socket, sys
from greenroom.actors.app.loader import preload
from greenroom.actors.worker.main import main
from greenroom.messages.frames.worker import WorkerSpec
from greenroom.supervision.process.child_setup import exit_code, flush_and_exit
preload(sys.argv[1])
connection, spec = socket.socket(fileno=int(sys.argv[2])), WorkerSpec.model_validate_json(sys.argv[3])
flush_and_exit(exit_code(lambda: main(connection, spec)))
"""


class Worker:
    """Starts a worker on an app, speaks with it, and reports how it ended."""

    def __init__(self, app: str, kind: WorkerKind, *, env: dict[str, str] | None = None, **spec: Any) -> None:
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(20)
        self._decoder = FrameDecoder()
        self._received: deque[FromWorker] = deque()
        self.heartbeats = 0
        text = WorkerSpec(worker="w", incarnation=1, kind=kind, **spec).model_dump_json()
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", MAIN, app, str(theirs.fileno()), text],
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            pass_fds=(theirs.fileno(),),
            stderr=subprocess.PIPE,
            text=True,
        )
        theirs.close()

    def send(self, *messages: ToWorker) -> None:
        self._socket.sendall(b"".join(TO_WORKER.encode(message) for message in messages))

    def send_bytes(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self) -> FromWorker:
        """Wait for the next message that is not a heartbeat."""
        while True:
            while self._received:
                message = self._received.popleft()
                if not isinstance(message, Heartbeat):
                    return message
                self.heartbeats += 1
            data = self._socket.recv(65536)
            assert data, "the worker has gone"
            self._received += [FROM_WORKER.decode(body).message for body in self._decoder.feed(data)]

    def wait_for_heartbeats(self, count: int) -> None:
        """Wait until so many heartbeats have come."""
        while self.heartbeats < count:
            if not self._received:
                bodies = self._decoder.feed(self._socket.recv(65536))
                self._received += [FROM_WORKER.decode(body).message for body in bodies]
            assert isinstance(self._received.popleft(), Heartbeat)
            self.heartbeats += 1

    def call(self, step: str, *args: Json, **kwargs: Json) -> Any:
        """Have a step executed and wait for its answer, with its values read."""
        self.send(execute(step, *args, **kwargs))
        return shown(self.receive())

    def hang_up(self) -> None:
        self._socket.close()

    def wait(self) -> int:
        """Wait until the process has ended; give its exit code."""
        return self.process.wait(20)

    def stderr(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def close(self) -> None:
        self._socket.close()
        self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()


def execute(step: str, *args: Any, token: str = "1:1", attempt: int = 1, **kwargs: Any) -> Execute:
    return Execute(
        run_id="run-1",
        key=f"{step}#1",
        name=step,
        step=step,
        attempt=attempt,
        token=token,
        arguments={"args": list(args), "kwargs": kwargs},
        idempotency_key=f"run-1/{step}#1",
    )


def evaluate(evaluator: str, subject: Json, token: str = "1:2") -> Evaluate:
    return Evaluate(
        run_id="run-1",
        key="writer#1",
        attempt=1,
        token=token,
        evaluator=evaluator,
        subject=subject,
        arguments={"args": ["a prompt"], "kwargs": {}},
    )


STOP = Stop()


def abort(token: str) -> Abort:
    return Abort(token=token)
