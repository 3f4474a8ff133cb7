"""What holds for every verb: what it costs, where options stand, and how mistakes are answered."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from greenroom.cli.app import root
from tests.cli.conftest import ROOT, CommandLine


def cpu(*command: str) -> float:
    """Give the least CPU seconds, user and system, that a command took in five tries."""
    figures = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        figures.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(figures)


def test_help_costs_at_most_200_ms_of_cpu() -> None:
    assert cpu("main.py", "--help") < 0.2


def test_importing_the_package_costs_at_most_50_ms_more_than_python_itself() -> None:
    assert cpu("-c", "import greenroom") - cpu("-c", "pass") < 0.05


def test_help_loads_neither_models_nor_tables() -> None:
    script = (
        "import sys; from greenroom.__main__ import main; code = main(['--help']);"
        "print(sorted({'pydantic', 'rich', 'pykka', 'apsw', 'loguru'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stderr.strip() == "[]"
    assert "Verbs:" in done.stdout


@pytest.mark.parametrize("verb", ["demo", "run", "runs", "actors", "metrics", "doctor", "version"])
def test_every_verb_explains_itself(greenroom: CommandLine, verb: str) -> None:
    assert verb in greenroom("--help").out
    assert "Usage: greenroom " + verb in greenroom(verb, "--help").out


@pytest.mark.parametrize("arguments", [("-o", "json", "version"), ("version", "-o", "json")])
def test_common_options_stand_before_or_after_the_verb(greenroom: CommandLine, arguments: tuple[str, ...]) -> None:
    assert set(json.loads(greenroom(*arguments).out)) == {"greenroom", "python", "sqlite"}


def test_the_home_of_an_option_wins_over_the_environments(greenroom: CommandLine, tmp_path: Path) -> None:
    answer = greenroom("runs", "list", "--home", str(tmp_path / "other"))
    assert str(tmp_path / "other") in answer.err


def test_a_mistyped_verb_is_answered_with_the_one_that_was_meant(greenroom: CommandLine) -> None:
    assert "did you mean 'doctor'?" in greenroom("docter", code=2).err
    assert "did you mean 'events'?" in greenroom("runs", "event", code=2).err


def test_an_unknown_option_is_a_usage_error(greenroom: CommandLine) -> None:
    assert "--frob" in greenroom("version", "--frob", code=2).err


def test_a_reader_that_leaves_early_is_no_error(greenroom: CommandLine) -> None:
    process = greenroom.start("--help")
    assert process.stdout is not None
    process.stdout.close()
    process.wait(20)
    assert process.stderr is not None
    assert process.returncode == 0
    assert "Traceback" not in process.stderr.read()


def test_an_error_of_our_own_is_one_sentence_and_its_traceback_an_option(
    greenroom: CommandLine, tmp_path: Path
) -> None:
    assert "cannot be created" in greenroom("--home", "/dev/null/home", "run", "app.py:total", "-i", "a=1", code=1).err


@pytest.mark.skipif(os.environ.get("NO_COLOR") is not None, reason="asks for the default")
def test_a_pipe_gets_plain_lines(greenroom: CommandLine) -> None:
    assert "\x1b" not in greenroom("doctor").out


def options_with_numbers(command: click.Command, *verbs: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield every option that takes a number which need not be whole, with the verbs before it."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from options_with_numbers(below, *verbs, name)
    for option in command.params:
        if isinstance(option.type, click.types.FloatParamType):
            yield verbs, option.opts[0]


def test_no_option_takes_nan_for_a_number() -> None:
    found = list(options_with_numbers(root))
    assert {(("runs", "cancel"), "--within"), (("schedules", "create"), "--every"), (("run",), "--timeout")} <= {*found}
    for verbs, option in found:
        done = CliRunner().invoke(root, [*verbs, option, "nan"], standalone_mode=False)
        assert isinstance(done.exception, click.BadParameter), (verbs, option, done)
        assert "nan is not a number" in str(done.exception)
