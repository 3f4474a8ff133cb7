"""Edits of an approval's arguments: the replacement must be a value of the same model.

If the workflow's arguments are not of a model, the orchestrator compares the two values itself (see
``workflows.control.checks.json_shapes``).
"""

from typing import Any, Final

from pydantic import BaseModel, ValidationError

from greenroom.actors.definitions.message_check import all_models
from greenroom.actors.values.conversion import ValueConverter, faults, read_model
from greenroom.actors.values.unknown_fields import extra_fields
from greenroom.messages.core.failures import Fault
from greenroom.messages.core.message import Json
from greenroom.messages.frames.worker import ResultChecked

APPROVAL_ARGUMENTS: Final = ValueConverter(Any, "what is asked about", returns=False)
"""Writes the arguments of an approval as JSON."""


def model_reference(args: object) -> str:
    """Return the reference of a value's model; empty if it is not an instance of a model."""
    return reference(type(args)) if isinstance(args, BaseModel) else ""


def reference(model: type[BaseModel]) -> str:
    """Return the reference of a model, ``module:qualname``."""
    return f"{model.__module__}:{model.__qualname__}"


def check_edit(id_: str, form: str, value: Json) -> ResultChecked:
    """Check a value against a model of this app, or of this package for what ``Person`` asks.

    Return it in its normal form, or everything that is wrong with it.
    """
    model = next((each for each in all_models() if reference(each) == form), None)
    if model is None:
        return ResultChecked(id=id_, value=value, unknown_form=True)
    try:
        read = read_model(model, value)
        wrong = extra_fields(read, value)
    except ValidationError as error:
        wrong = faults(error)
    else:
        if not wrong:
            return ResultChecked(id=id_, value=APPROVAL_ARGUMENTS.dump(read))
    found = (Fault(field=f"args.{place}" if place else "args", sentence=what) for place, what in wrong)
    return ResultChecked(id=id_, faults=tuple(found))
