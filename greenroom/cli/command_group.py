"""What all verbs share: groups that load a verb when it is typed, common options, and suggestions for typos."""

import difflib
import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import click

from greenroom.cli.inputs import Number
from greenroom.cli.settings import Settings

if TYPE_CHECKING:
    from greenroom.messages.options.policy import Budget

F = TypeVar("F", bound=Callable[..., Any])


class Verbs(click.Group):
    """A group that imports a verb's module when the verb is typed, and suggests the verb that was probably meant.

    Attributes:
        lazy: For each verb its place as ``"module:function"``, and a few words for the help.
    """

    lazy: ClassVar[dict[str, tuple[str, str]]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return all verbs in the order of ``lazy``."""
        return [*self.lazy, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb, importing its module if needed."""
        if cmd_name in self.lazy:
            module, _, name = self.lazy[cmd_name][0].partition(":")
            return cast("click.Command", getattr(importlib.import_module(module), name))
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the verb that was typed, or fail with a suggestion."""
        typed, known = args[0], self.list_commands(ctx)
        if typed not in known and not typed.startswith("-"):
            close = difflib.get_close_matches(typed, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known)}."
            ctx.fail(f"there is no verb {typed!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  click's
        """List the verbs without importing any."""
        rows = [(name, text) for name, (_, text) in self.lazy.items()]
        rows += [(name, command.get_short_help_str(80)) for name, command in self.commands.items()]
        with formatter.section("Verbs"):
            formatter.write_dl(rows)


def _remember(field: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def callback(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            setattr(ctx.find_root().ensure_object(Settings), field, value)

    return callback


def common(function: F) -> F:
    """Add the options that may stand before and after a verb."""
    output = click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json"]),
        expose_value=False,
        callback=_remember("output"),
        help="Tables for people, or JSON on stdout with everything else on stderr.",
    )
    home = click.option(
        "--home",
        metavar="DIR",
        type=click.Path(file_okay=False),
        expose_value=False,
        callback=_remember("directory"),
        help="The home: journal, socket and logs. Default: $GREENROOM_HOME, else .greenroom.",
    )
    journal = click.option(
        "--journal",
        metavar="PATH",
        type=click.Path(dir_okay=False),
        expose_value=False,
        callback=_remember("journal"),
        help="The journal, which leads to its home too. Default: $GREENROOM_JOURNAL, else the one the home used last.",
    )
    return home(journal(output(function)))


quiet = click.option("-q", "--quiet", is_flag=True, help="Do not show what code in workers prints.")
"""An option of verbs that host an orchestrator."""


@dataclass(frozen=True, slots=True)
class Imports:
    """Options on how apps are imported.

    Attributes:
        env: Variables for apps: ``NAME`` or ``NAME=VALUE``.
        timeout: Time limit of an import in seconds; None if the option was not given.
    """

    env: tuple[str, ...]
    timeout: float | None

    def secrets(self) -> list[str]:
        """Return secret values from the command line, to be masked in logs."""
        from greenroom.messages.secrets.redaction import secret_values

        return list(secret_values({name: value for name, _, value in (item.partition("=") for item in self.env)}))


NOTHING_SAID = Imports((), None)


def imports(function: F) -> F:
    """Add the options on the import of apps. The function receives them as ``imports``."""
    env = click.option(
        "--env",
        metavar="NAME[=VALUE]",
        multiple=True,
        callback=_variables,
        help="Pass on a variable that looks like a secret, or set one. May be repeated. All others are inherited.",
    )
    timeout = click.option(
        "--import-timeout",
        type=Number(min=0, min_open=True),
        metavar="S",
        help="Seconds that an app may take to be imported. Default: 60.",
    )

    @wraps(function)
    def with_imports(*args: Any, env: tuple[str, ...], import_timeout: float | None, **kwargs: Any) -> Any:
        return function(*args, imports=Imports(env, import_timeout), **kwargs)

    return cast("F", env(timeout(with_imports)))


def _variables(_ctx: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    from greenroom.cli.display.values import note
    from greenroom.supervision.policy.worker_environment import read_given

    try:
        read_given(given)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    for name in given:
        if "=" not in name and name not in os.environ:
            note(f"--env {name}: there is no such variable here, so there is none to pass on")
    return given


def budget_of(limits: Sequence[str]) -> "Budget | None":
    """Return the budget from the values of ``--budget``, each ``NAME=N``; None if there are none.

    Raises:
        click.BadParameter: A value is not a limit.
    """
    if not limits:
        return None
    from pydantic import ValidationError

    from greenroom.messages.options.policy import Budget

    pairs = [limit.partition("=") for limit in limits]
    try:
        named: dict[str, str | float] = {name: value for name, _, value in pairs if name == "unknown_price"}
        found = {name: float(value) for name, _, value in pairs if name not in named}
        return Budget.model_validate({k: int(v) if v.is_integer() else v for k, v in found.items()} | named)
    except (ValueError, ValidationError) as error:
        names = " or ".join(f"{name}=N" for name in Budget.model_fields if name != "unknown_price")
        msg = f"give {names} with N above 0, or unknown_price=allow, not {' '.join(limits)!r}"
        raise click.BadParameter(msg, param_hint="--budget") from error


pass_settings = click.make_pass_decorator(Settings, ensure=True)
"""Pass the settings to the verb. They live on the root context, wherever the options were typed."""
