"""Checks of values from outside: arguments of a workflow, and results that a person gives for a step."""

from greenroom.actors.definitions.registry import find_workflow, lookup
from greenroom.messages.core.errors import DefinitionError, InvalidInput, NotSerializable
from greenroom.messages.core.failures import Fault
from greenroom.messages.core.message import Json
from greenroom.messages.frames.worker import ArgumentsChecked, ResultChecked


def check_arguments(
    id_: str, workflow: str, arguments: dict[str, Json], version: int | None = None
) -> ArgumentsChecked:
    """Check arguments of a workflow. Answer with them in their normal form, or with everything that is wrong."""
    try:
        found = find_workflow(workflow, version)
        return ArgumentsChecked(
            id=id_,
            arguments=found.bind_json(arguments),
            version=found.version,
            fingerprint=found.fingerprint,
            budget=found.budget,
            unpriced=found.unpriced,
        )
    except InvalidInput as error:
        faults = tuple(Fault(field=field, sentence=what) for field, what in error.errors)
        return ArgumentsChecked(id=id_, faults=faults)
    except DefinitionError as error:
        return ArgumentsChecked(id=id_, faults=(Fault(field="workflow", sentence=str(error)),), unknown_workflow=True)


def check_result(id_: str, ref: str, value: Json) -> ResultChecked:
    """Check a value as the result of a step. Answer with it in its normal form, or with everything that is wrong."""
    try:
        definition = lookup(ref)
        return ResultChecked(id=id_, value=definition.encode_result(definition.decode_result(value)))
    except InvalidInput as error:
        faults = error.errors or (("", str(error)),)
    except (DefinitionError, NotSerializable) as error:
        faults = (("", str(error)),)
    return ResultChecked(id=id_, faults=tuple(Fault(field=field, sentence=what) for field, what in faults))
