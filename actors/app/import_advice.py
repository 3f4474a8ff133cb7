"""Advice on apps that cannot be imported, where the exception shows what to do."""

from pathlib import Path

from greenroom.actors.failures.description import missing_variable


def advice(error: BaseException, app: str) -> str:
    """Return lines of advice to print below an import's error, each with its newline; empty if there is no advice."""
    lines = [missing_variable(error), _no_terminal(error), _no_package(error, app), _not_found(error)]
    return "".join(f"{line}\n" for line in lines if line)


def _no_terminal(error: BaseException) -> str:
    if not isinstance(error, EOFError):
        return ""
    return "Nobody can be asked there: an app is imported without a terminal, so input() finds its end at once."


def _no_package(error: BaseException, app: str) -> str:
    if not (isinstance(error, ImportError) and "no known parent package" in str(error)):
        return ""
    path = Path(app)
    module = f"{path.parent.name}.{path.stem}"
    return (
        f"{path.name} is in no package: put an empty __init__.py beside it, or call it as the module {module} from "
        f"the folder {path.parent.parent}."
    )


def _not_found(error: BaseException) -> str:
    if not isinstance(error, ModuleNotFoundError):
        return ""
    return f"Modules are looked for beside the file, in the working folder {_cwd()}, and where Python has packages."


def _cwd() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return "(which is gone)"
