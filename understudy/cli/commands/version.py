"""``understudy version``."""

import platform

import click

from understudy.cli.command_group import common, pass_settings
from understudy.cli.display.values import emit, say
from understudy.cli.settings import Settings
from understudy.version import VERSION


@click.command()
@common
@pass_settings
def version(settings: Settings) -> None:
    """Print the versions of this package, of Python and of SQLite."""
    import apsw

    facts = {"understudy": VERSION, "python": platform.python_version(), "sqlite": apsw.sqlite_lib_version()}
    if settings.json:
        emit(facts)
    else:
        say(", ".join(f"{name} {value}" for name, value in facts.items()))
