"""Lookup of this process's definitions: by reference, or by name and version."""

from difflib import get_close_matches

from greenroom.actors.definitions.definitions import Definition, WorkflowDefinition, built_in, registered
from greenroom.messages.core.errors import DefinitionError


def all_definitions() -> tuple[Definition, ...]:
    """Return every definition of this process, in order of creation."""
    return tuple(registered.values())


def lookup(ref: str) -> Definition:
    """Return the definition with this reference.

    Raises:
        DefinitionError: This process has no such definition.
    """
    definition = registered.get(ref)
    if definition is None:
        packaged = [each for known, each in registered.items() if known.endswith(f".{ref}")]
        if len(packaged) == 1:  # recorded before files in packages went by the names of their modules
            return packaged[0]
        msg = (
            f"no definition is known as {ref}{suggestion(ref, list(registered))}. Workers know what the import of "
            "the app makes: at the top level, or in functions that are called there"
        )
        raise DefinitionError(msg)
    return definition


def find_workflow(name: str, version: int | None = None) -> WorkflowDefinition:
    """Return the workflow with this name and version, the newest version if none is given.

    Raises:
        DefinitionError: There is no such workflow.
    """
    workflows = [item for item in registered.values() if isinstance(item, WorkflowDefinition)]
    found = {item.version: item for item in workflows if item.name == name}
    if not found and name in built_in:
        return built_in[name]
    if not found:
        msg = f"no workflow is called `{name}`{suggestion(name, list({item.name for item in workflows}))}"
        raise DefinitionError(msg)
    if version is not None and version not in found:
        known = ", ".join(str(known) for known in sorted(found))
        msg = (
            f"version {version} of workflow `{name}` is not defined any more, there {_are(len(found))} {known}: keep "
            f"it beside the newer one with @workflow(name={name!r}, version={version}) until its runs have ended"
        )
        raise DefinitionError(msg)
    return found[max(found) if version is None else version]


def _are(count: int) -> str:
    return "is version" if count == 1 else "are versions"


def known_workflow(app: str, name: str, version: int | None = None) -> WorkflowDefinition | None:
    """Return a workflow of an app, by default its newest version; None if this process has not imported it."""
    workflows = [item for item in registered.values() if isinstance(item, WorkflowDefinition)]
    found = [item for item in workflows if item.name == name and app in {item.site.app, item.site.file}]
    fitting = [item for item in found if version in {None, item.version}]
    return max(fitting, key=lambda item: item.version, default=None)


def reset() -> None:
    """Forget every definition; for tests that import many apps into one process."""
    registered.clear()


def suggestion(name: str, known: list[str]) -> str:
    """Return the end of a sentence that suggests other names for an unknown one."""
    close = get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean `{close[0]}`?"
    return f"; there are {', '.join(f'`{other}`' for other in sorted(known))}" if known else "; there are none"
