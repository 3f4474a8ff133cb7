"""Rules that hold for every test: no process outlives it, and properties are drawn the same way each time."""

import compileall
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, settings

from greenroom.testing import plugin
from tests.support import descendants, eventually

settings.register_profile("default", deadline=None, max_examples=100)
settings.register_profile(
    "ci", deadline=None, max_examples=100, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") else "default")

for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    # A shell starts what runs in its background with these ignored, and every process below inherits that. A handler of
    # Python's own does not outlive an exec, so the processes that tests start hear the signals again.
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda _number, _frame: None)


TESTS = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    """Have the plugin that users have, in a checkout that is not installed, and compile the checkout.

    Tests start thousands of interpreters. Where PYTHONDONTWRITEBYTECODE is set, as it is in many containers, each of
    them would compile more than 200 modules anew, because none keeps what it has compiled. An installed package is
    compiled by its installer; a checkout is compiled here: once, by the process that starts the others of xdist.
    """
    if not hasattr(config, "workerinput"):
        package = TESTS.parent / "greenroom"
        for folder in (package, *(path.resolve() for path in package.iterdir() if path.is_symlink())):
            compileall.compile_dir(folder, quiet=1)
    if not config.pluginmanager.has_plugin("greenroom"):
        config.pluginmanager.register(plugin, "greenroom")


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Let threads take turns as often as the interpreter can, so that what only chance keeps apart meets."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.fixture(autouse=True)
def no_process_is_left_behind() -> Iterator[None]:
    """Fail a test that leaves a child process, and end that process so that the next test starts clean.

    A process on its way out is given a moment: its end is the kernel's to finish, not the test's.
    """
    before = set(descendants())
    yield
    left: list[psutil.Process] = []

    def gone() -> bool:
        left[:] = [process for process in descendants() if process not in before]
        return not left

    try:
        eventually(gone, 2.0)
    except AssertionError:
        found = [f"{process.pid} {' '.join(_command(process))}" for process in left]
        for process in left:
            process.kill()
        pytest.fail(f"processes left behind: {found}")


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline() or [process.name(), process.status()]
    except psutil.Error:
        return ["(gone)"]


@pytest.fixture
def public() -> Iterator[Path]:
    """Give a directory that other users may enter. Pytest's are closed to them, again whenever another pytest starts."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty home of its own to the test and to every process it starts."""
    path = tmp_path / "home"
    monkeypatch.setenv("GREENROOM_HOME", str(path))
    return path
