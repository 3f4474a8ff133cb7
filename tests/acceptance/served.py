"""``greenroom serve`` in a process of its own, killed and started again on the same home."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support import eventually

ROOT = Path(__file__).resolve().parents[2]


class Served:
    """An app that is served on one home.

    Args:
        folder: Folder for the home, and for what the servers print.
        app: The app's file.
    """

    def __init__(self, folder: Path, app: Path) -> None:
        self.app = app
        self.home = folder / "home"
        self.output = (folder / "served.log").open("ab")
        self.process: subprocess.Popen[bytes] | None = None
        self.kills = 0
        self.commands: list[subprocess.Popen[str]] = []

    def start(self) -> None:
        command = [sys.executable, str(ROOT / "main.py"), "serve", str(self.app), "--port", "0"]
        self.process = subprocess.Popen(
            [*command, "--home", str(self.home)], stdout=self.output, stderr=subprocess.STDOUT
        )
        pid = self.process.pid
        eventually(lambda: self.record().get("pid") == pid and "url" in self.record(), 60, what="being served")

    def record(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.home / "orchestrator.json").read_text())
        except (OSError, ValueError):
            return {}
        return found

    @property
    def token(self) -> str:
        return (self.home / "token").read_text().strip()

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.kills += 1

    def stop(self) -> None:
        """End the server, and every command that has not ended."""
        for command in self.commands:
            with command:  # closes its pipes, and waits for it
                command.kill()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)
        self.output.close()

    def command(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        """Start a command on the home; stdout and stderr are pipes unless the options say otherwise."""
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [sys.executable, str(ROOT / "main.py"), *arguments, "--home", str(self.home)]
        self.commands.append(subprocess.Popen(command, text=True, **pipes | options))
        return self.commands[-1]

    def call(self, *arguments: str, code: int = 0) -> str:
        """Run a command on the home to its end; give what it printed on stdout, or on stderr if it failed."""
        process = self.command(*arguments)
        out, err = process.communicate(timeout=100)
        assert "Traceback" not in err, err
        assert process.returncode == code, err
        return err if code else out
