# /// script
# requires-python = ">=3.11,<3.14"
# ///
"""Run a command in exactly the environment that uv.lock describes, set up first where need be.

    uv run locked.py COMMAND [ARGUMENT...]           e.g. pytest, just check, main.py demo, examples/brief.py
    uv run locked.py --python 3.13 COMMAND ...       in an environment of its own under .venvs/
    uv run locked.py --lock [--upgrade ...]          resolve anew; the arguments are those of `uv lock`

The committed uv.lock holds versions and hashes but no addresses, so that it binds nobody to an index: which one is
asked is a setting of the machine. uv itself cannot install from such a file, so its exported requirements are installed
instead, and every downloaded file is checked against its hash. A bare `uv run` works too: it resolves again, takes the
locked versions, and writes the addresses into uv.lock, which the next start of this script takes out.

This file needs nothing but the standard library: uv gives it an interpreter and no packages.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
LOCK = ROOT / "uv.lock"
UV = os.environ.get("UV", "uv")  # `uv run` says here which uv it is, whether or not that is on the PATH


def main(arguments: list[str]) -> int:
    """Set up, then become the command. Gives the exit status where no command is left to become."""
    if arguments[:1] == ["--lock"]:
        locked = subprocess.run([UV, "lock", *arguments[1:]], cwd=ROOT, check=False)
        strip_addresses()
        return locked.returncode
    python, arguments = (arguments[1], arguments[2:]) if arguments[:1] == ["--python"] else ("", arguments)
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    strip_addresses()
    name = re.sub(r"[^\w.-]+", "-", python).strip("-")  # a version, or the path of an interpreter
    environment = ROOT / ".venvs" / name if name else ROOT / ".venv"
    install(environment, python)
    settings = {name: value for name, value in os.environ.items() if name not in {"PYTHONHOME", "PYTHONPATH"}}
    command = arguments
    if arguments[0].endswith(".py"):
        command = [str(environment / "bin" / "python"), *arguments]
        settings["PYTHONPATH"] = str(ROOT)  # the environment holds everything but the project, which examples import
    settings |= {"VIRTUAL_ENV": str(environment), "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    os.environ["PATH"] = settings["PATH"]  # where execvpe looks for the command itself
    try:
        os.execvpe(command[0], command, settings)
    except OSError as error:
        print(f"{command[0]} cannot be started: {error.strerror}.", file=sys.stderr)
        return 127


def strip_addresses() -> None:
    """Rewrite uv.lock without addresses: file names for URLs, and no word on the project's own requirements.

    Leaving those requirements out is what makes a bare ``uv run`` resolve again instead of failing for want of URLs.
    """
    text = LOCK.read_text()
    if "://" not in text:
        return
    text = re.sub(r"\n\[package\.metadata\].*?(?=\n\[\[package\]\]|\Z)", "\n", text, flags=re.DOTALL)
    text = re.sub(r'url = "[^"]*/([^/"]+)"', r'filename = "\1"', text)
    text = re.sub(r'registry = "[^"]*"', 'registry = "registry"', text)
    LOCK.write_text(text)


def install(environment: Path, python: str) -> None:
    """Make ``environment`` hold the locked packages and no others. Quick where it does already."""
    interpreter = str(environment / "bin" / "python")
    if not Path(interpreter).exists():
        chosen = ["--python", python] if python else []
        uv("venv", "--clear", *chosen, str(environment))
    requirements = uv(
        "export", "--frozen", "--all-groups", "--all-extras", "--no-emit-project", "--format", "requirements-txt"
    )
    uv("pip", "sync", "--require-hashes", "--python", interpreter, "-", given=requirements)


def uv(*arguments: str, given: str = "") -> str:
    """Run uv in the checkout on ``given`` as its input, and give what it prints.

    Raises:
        CalledProcessError: It failed; what it had to say stands on stderr already.
    """
    return subprocess.run(
        [UV, "--quiet", *arguments], cwd=ROOT, check=True, input=given, stdout=subprocess.PIPE, text=True
    ).stdout


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except subprocess.CalledProcessError as failed:
        print(f"The environment could not be set up: `{' '.join(failed.cmd)}` failed.", file=sys.stderr)
        sys.exit(failed.returncode)
