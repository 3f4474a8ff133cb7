"""An app whose tools come with the package."""

from pathlib import Path

from greenroom import Retry, StepFailed, workflow
from greenroom.tools import file_reader, http_fetch, python_snippet, shell_command

ONCE = Retry(attempts=1)

shell = shell_command("shell", programs=["printf", "ls", "false", "yes", "no-such-program"], timeout=5, most_bytes=1000)
python = python_snippet("python", timeout=15, cpu=1, retry=ONCE, crash_attempts=1)
read = file_reader("read", root=Path(__file__).parent)
fetch = http_fetch("fetch", hosts=["localhost"])


@workflow
async def run_shell(command: list[str]) -> str:
    """Run a program."""
    try:
        return (await shell.options(retry=ONCE)(command)).model_dump_json()
    except StepFailed as error:
        return str(error)


@workflow
async def run_python(code: str) -> str:
    """Run a snippet."""
    try:
        return (await python(code)).model_dump_json()
    except StepFailed as error:
        return str(error)


@workflow
async def refused() -> list[str]:
    """Ask two tools for what they refuse."""
    said = []
    for call in (read("../conftest.py"), fetch("http://localhost/")):
        try:
            await call
        except StepFailed as error:
            said.append(str(error))
    return said
