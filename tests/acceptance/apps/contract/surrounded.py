"""Steps that say which variables they see, and some that cannot do without one."""

import os

from greenroom import Retry, tool, workflow

ONCE = Retry(attempts=1)
AT_IMPORT = dict(os.environ)


@tool(retry=ONCE)
def see(names: list[str]) -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in names}


@tool(retry=ONCE, env=("OWN_TOKEN",))
def see_own(names: list[str]) -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in names}


@tool(retry=ONCE)
def see_import(names: list[str]) -> dict[str, str | None]:
    return {name: AT_IMPORT.get(name) for name in names}


@tool(retry=ONCE)
def need(name: str) -> str:
    try:
        return os.environ[name]
    except KeyError as error:
        if name.startswith("HIDDEN"):
            raise RuntimeError("bad configuration") from error
        raise


@tool(retry=ONCE)
def quote(text: str) -> None:
    raise ValueError(text)


@workflow
async def seen(names: list[str]) -> list[dict[str, str | None]]:
    return [await see(names), await see_own(names), await see_import(names)]


@workflow
async def needed(name: str) -> str:
    return await need(name)


@workflow
async def quoted(text: str) -> None:
    await quote(text)


@tool(retry=ONCE)
def reach() -> None:
    raise ConnectionRefusedError("nobody listens")


@workflow
async def reached() -> None:
    await reach()


@workflow
async def idle() -> int:
    return 1
