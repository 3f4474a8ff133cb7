"""Check of the table ``[tool.greenroom]``. Apart from reading it, as few projects have one and pydantic is large."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from greenroom.messages.core.errors import DefinitionError
from greenroom.messages.core.fields import Limit
from greenroom.messages.options.call_limits import Breaker, ModelLimit
from greenroom.messages.options.policy import Budget
from greenroom.supervision.policy.worker_environment import read_given


class Table(BaseModel):
    """The table. See ``Project``."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    env: list[str] = []
    import_timeout: Limit = None
    models: dict[str, ModelLimit] = {}
    breakers: dict[str, Breaker | Literal[False]] = {}
    budget: Budget | None = None
    daily_budget: Budget | None = None


def check_table(table: object, path: Path) -> Table:
    """Return a table after a check of its values.

    Args:
        table: The table, parsed.
        path: Its file, for the message.

    Raises:
        DefinitionError: The table is not valid.
    """
    try:
        checked = Table.model_validate(table)
        read_given(checked.env)
        for option in ("budget", "daily_budget"):
            budget: Budget | None = getattr(checked, option)
            if budget is not None:
                budget.check_for_all_runs(option)
    except ValidationError as error:
        faults = "; ".join(_sentence(fault) for fault in error.errors())
        msg = f"[tool.greenroom] in {path} is wrong: {faults}"
        raise DefinitionError(msg) from None
    except ValueError as error:
        msg = f"[tool.greenroom] in {path} is wrong: {error}"
        raise DefinitionError(msg) from None
    return checked


def _sentence(fault: Any) -> str:
    place = ".".join(map(str, fault["loc"])) or "it"
    if fault["type"] != "extra_forbidden":
        return f"{place}: {fault['msg']}"
    known = get_close_matches(place, Table.model_fields, n=1, cutoff=0.4)
    hint = (
        f"did you mean `{known[0]}`?" if known else f"there are {', '.join(f'`{name}`' for name in Table.model_fields)}"
    )
    return f"there is no `{place}`; {hint}"
