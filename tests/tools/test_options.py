"""The tools of this package take what ``@tool`` takes."""

import inspect
import os
from typing import Any

import pytest

from greenroom import tool
from greenroom.tools import file_lister, file_reader, file_writer, http_fetch, python_snippet, shell_command
from greenroom.tools.options import ToolOptions
from greenroom.workflows.authoring.step import Step


def test_their_options_are_those_of_any_tool() -> None:
    assert set(ToolOptions.__annotations__) == set(inspect.signature(tool).parameters) - {"fn", "name", "unknown"}


@pytest.mark.parametrize(
    "made",
    [
        http_fetch("asking_fetch", hosts=["example.com"], approve=True),
        shell_command("asking_shell", programs=["sort"], approve=True),
        python_snippet("asking_python", approve=True),
        file_reader("asking_read", root=os.sep, approve=True),
        file_writer("asking_write", root=os.sep, approve=True),
        file_lister("asking_files", root=os.sep, approve=True),
    ],
    ids=lambda step: step.name,
)
def test_each_may_need_a_persons_word(made: Step[..., Any]) -> None:
    assert made.definition.approve is True
