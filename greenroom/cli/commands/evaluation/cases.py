"""Cases of an evaluation, as read from a file of JSON lines."""

from dataclasses import dataclass, field
from typing import Any, Final, cast

import click

from greenroom.cli.inputs import parse_json, read_file

FIELDS: Final = ("id", "inputs", "expected", "metadata")
MOST_FAULTS: Final = 20
"""Most faults that one message names."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case.

    Attributes:
        id: Its name in reports; the number of its line if the file gives none.
        line: The number of its line, from 1.
        inputs: Arguments of the workflow, by name.
        context: What evaluators see of it beside its inputs: ``expected`` and ``metadata``, as far as given.
    """

    id: str
    line: int
    inputs: dict[str, Any]
    context: dict[str, Any] = field(default_factory=dict[str, Any])


def read_cases(file: str) -> list[Case]:
    """Read the cases of a file: one JSON object in each line that is not blank.

    Raises:
        BadParameter: The file cannot be read, holds no case, or lines are not cases; each such line is named.
    """
    text = read_file(file, "--cases")
    cases: list[Case] = []
    faults: list[tuple[int, str]] = []
    lines: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            case = _read_case(line, number)
        except ValueError as error:
            faults.append((number, str(error)))
            continue
        if case.id in lines:
            faults.append((number, f"the id {case.id!r} is that of line {lines[case.id]} too"))
        lines[case.id] = number
        cases.append(case)
    if not cases and not faults:
        msg = f'{file!r} holds no cases: write one JSON object per line, such as {{"inputs": {{...}}}}'
        raise click.BadParameter(msg, param_hint="--cases")
    refuse(file, faults)
    return cases


def refuse(file: str, faults: list[tuple[int, str]]) -> None:
    """Raise ``BadParameter`` if there are faults: the number of a line, and a sentence about it."""
    if faults:
        told = "".join(f"\n  line {number}: {what}" for number, what in faults[:MOST_FAULTS])
        more = f"\n  and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
        msg = f"{file!r} holds lines that are not cases, and nothing was started:{told}{more}"
        raise click.BadParameter(msg, param_hint="--cases")


def _read_case(line: str, number: int) -> Case:
    """Return the case of a line.

    Raises:
        ValueError: It is not a case. The message says why.
    """
    found = parse_json(line)
    if not isinstance(found, dict):
        msg = "it is not a JSON object"
        raise ValueError(msg)  # noqa: TRY004  all faults of a line are told alike
    given = cast("dict[str, Any]", found)
    if unknown := [name for name in given if name not in FIELDS]:
        msg = f"it has the unknown field {unknown[0]!r}; there are {', '.join(FIELDS)}"
        raise ValueError(msg)
    inputs, name = given.get("inputs"), given.get("id", str(number))
    if not isinstance(inputs, dict):
        msg = "its inputs have to be a JSON object of the workflow's arguments by name"
        raise ValueError(msg)  # noqa: TRY004  the same
    if not isinstance(name, str) or not name:
        msg = f"its id has to be a text that is not empty, not {name!r:.40}"
        raise ValueError(msg)
    context: dict[str, Any] = {key: given[key] for key in ("expected", "metadata") if key in given}
    return Case(name, number, cast("dict[str, Any]", inputs), context)
