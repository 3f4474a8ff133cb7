"""The definition of an MCP server, and the checks that need no running server."""

import os
import shutil
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any

from typing_extensions import override

from greenroom.actors.definitions.definition_site import Site
from greenroom.actors.definitions.definitions import StepDefinition, registered
from greenroom.messages.advice import install
from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.frames.worker import FAKES_VARIABLE, POOL_OF_SERVERS
from greenroom.messages.options.policy import StepOptions


class McpDefinition(StepDefinition):
    """An MCP server. Its requests are steps of kind ``tool`` in a pool of its own, whose workers have one server each.

    Attributes:
        server: Name of the server.
        command: The command that starts it; empty for a server that is reached by URL.
        url: Its URL; empty for a server that is started by a command.
        headers: HTTP headers of each request. ``$NAME`` in a value stands for an environment variable.
        start_timeout: Seconds that the server may take until it has answered the first requests.
    """

    def __init__(
        self,
        server: str,
        fn: Callable[..., Any],
        site: Site,
        options: StepOptions,
        *,
        command: tuple[str, ...],
        url: str,
        headers: Mapping[str, str],
        start_timeout: float,
    ) -> None:
        """Register the server; ``fn`` answers its requests outside of workflows."""
        self.server = server
        self.command = command
        self.url = url
        self.headers = dict(headers)
        self.start_timeout = start_timeout
        super().__init__("tool", f"{POOL_OF_SERVERS}{server}", fn, site, options)

    @property
    @override
    def title(self) -> str:
        """Its name, for sentences."""
        return f"MCP server `{self.server}`"

    @property
    def workdir(self) -> str | None:
        """The folder that the server works in; None for that of the process that starts it."""
        return self.options.limits.workdir if self.options.limits is not None else None

    @override
    def prepare(self) -> None:
        """Check what can be known before the server is started, and import what its workers need.

        Raises:
            DefinitionError: The extra is not installed, or there is no such command.
        """
        super().prepare()
        self.check()
        import_module("greenroom.actors.mcp.connection")  # only an app with a server needs it

    def check(self) -> None:
        """Check that the extra is installed, and that there is such a command.

        Raises:
            DefinitionError: The message says what to do.
        """
        if find_spec("mcp") is None:
            msg = f"{self.title} needs a package that is not installed: {install('mcp')}"
            raise DefinitionError(msg)
        if self.command and not os.environ.get(FAKES_VARIABLE):  # a test need not have what it replaces
            self._check_command(self.command[0])

    def _check_command(self, name: str) -> None:
        base = Path(self.workdir or ".")
        if not base.is_dir():
            msg = f"{self.title} is to work in {str(base)!r}, which is not a folder: correct cwd="
            raise DefinitionError(msg)
        path = base / name if os.sep in name else Path(shutil.which(name) or "")
        if os.sep not in name and path == Path():
            msg = (
                f"{self.title} is started by the command {name!r}, which is not found on PATH: install it, or correct "
                "command="
            )
            raise DefinitionError(msg)
        if not path.is_file():
            msg = f"{self.title} is started by {name!r}, and there is no such file: correct command="
            raise DefinitionError(msg)
        if not os.access(path, os.X_OK):
            msg = (
                f"{self.title} is started by {name!r}, which is not executable: make it so, or name the "
                'program that runs it, as in command=["python", "server.py"]'
            )
            raise DefinitionError(msg)

    def headers_with(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the HTTP headers with the values of environment variables filled in.

        Raises:
            DefinitionError: A variable is not set.
        """
        try:
            return {name: Template(value).substitute(environment) for name, value in self.headers.items()}
        except KeyError as error:
            msg = (
                f"a header of {self.title} needs the environment variable {error.args[0]}, which it does not have: "
                f"set it and name it in env=[{error.args[0]!r}]"
            )
            raise DefinitionError(msg) from None
        except ValueError as error:
            msg = f"a header of {self.title} is not a template: {error}; write $$ for a dollar sign"
            raise DefinitionError(msg) from None


def server_of_pool(pool: str) -> McpDefinition:
    """Return the definition of the server whose worker this process is.

    Raises:
        DefinitionError: The app defines no such server.
    """
    for definition in registered.values():
        if isinstance(definition, McpDefinition) and definition.options.pool == pool:
            return definition
    msg = f"the app defines no MCP server `{pool.removeprefix(POOL_OF_SERVERS)}`"
    raise DefinitionError(msg)
