"""``greenroom version``."""

import platform

import click

from greenroom.cli.command_group import common, pass_settings
from greenroom.cli.display.values import emit, say
from greenroom.cli.settings import Settings
from greenroom.version import VERSION


@click.command()
@common
@pass_settings
def version(settings: Settings) -> None:
    """Print the versions of this package, of Python and of SQLite."""
    import apsw

    facts = {"greenroom": VERSION, "python": platform.python_version(), "sqlite": apsw.sqlite_lib_version()}
    if settings.json:
        emit(facts)
    else:
        say(", ".join(f"{name} {value}" for name, value in facts.items()))
