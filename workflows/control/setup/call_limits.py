"""Limits of everything that an orchestrator calls: from its options, and from the project's ``pyproject.toml``."""

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from greenroom.messages.core.frozen import frozen
from greenroom.messages.options.policy import Budget
from greenroom.workflows.home.project import read_project

if TYPE_CHECKING:  # the first keeper starts before they are imported, and most orchestrators are given none
    from greenroom.messages.options.call_limits import Breaker, ModelLimit


@frozen
class CallLimits:
    """The limits.

    Attributes:
        models: Limits of models, by name.
        breakers: Breakers, by name of a model or by ``tool:`` and the name of a tool; None for no breaker.
        budget: What all runs may use together, ever.
        daily_budget: What all runs may use together on one day in UTC.
    """

    models: "Mapping[str, ModelLimit]" = field(default_factory=dict[str, "ModelLimit"])
    breakers: "Mapping[str, Breaker | None]" = field(default_factory=dict[str, "Breaker | None"])
    budget: Budget | None = None
    daily_budget: Budget | None = None


def read_limits(
    models: "Mapping[str, ModelLimit] | None" = None,
    breakers: "Mapping[str, Breaker | None] | None" = None,
    budget: Budget | None = None,
    daily_budget: Budget | None = None,
) -> CallLimits:
    """Return the limits that were given, and those of the project for what was not given.

    Raises:
        DefinitionError: The project's table is wrong.
        TypeError: A limit has the wrong type.
        ValueError: A budget limits what only runs have.
    """
    project = read_project()
    found = CallLimits(
        {**project.models, **(models or {})},
        {**project.breakers, **(breakers or {})},
        budget if budget is not None else project.budget,
        daily_budget if daily_budget is not None else project.daily_budget,
    )
    if found.models or found.breakers:
        from greenroom.messages.options.call_limits import Breaker, ModelLimit  # noqa: PLC0415  see above

        _check_types("models", found.models, ModelLimit, "a ModelLimit, such as ModelLimit(rpm=500)")
        given = {name: breaker for name, breaker in found.breakers.items() if breaker is not None}
        _check_types("breakers", given, Breaker, "a Breaker, such as Breaker(failures=5), or None")
    _check_budget("budget", found.budget)
    _check_budget("daily_budget", found.daily_budget)
    return found


def _check_types(option: str, values: Mapping[str, object], wanted: type, words: str) -> None:
    for name, value in values.items():
        if not isinstance(value, wanted):
            msg = f"{option}[{name!r}] is {words}, not {value!r}"
            raise TypeError(msg)


def _check_budget(option: str, budget: object) -> None:
    if budget is None:
        return
    if not isinstance(budget, Budget):
        msg = f"{option} is a Budget, such as Budget(usd=5.0), not {budget!r}"
        raise TypeError(msg)
    budget.check_for_all_runs(option)
