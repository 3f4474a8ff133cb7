"""Questions of the orchestrator about an app, and the answers of a program worker. Every question has an answer."""

from typing import TypeAlias

from greenroom.actors.app.loader import describe
from greenroom.actors.definitions.approval_edits import check_edit
from greenroom.actors.definitions.json_schema import with_schemas
from greenroom.actors.definitions.message_check import check_signal
from greenroom.actors.definitions.sessions import check_message
from greenroom.actors.definitions.value_check import check_arguments, check_result
from greenroom.actors.failures.description import describe_exception, explain
from greenroom.messages.core.errors import GreenroomError
from greenroom.messages.core.failures import Fault
from greenroom.messages.frames.worker import (
    AppDescribed,
    ArgumentsChecked,
    CheckArguments,
    CheckEdit,
    CheckMessage,
    CheckResult,
    CheckSignal,
    DescribeApp,
    MessageChecked,
    ResultChecked,
)

Question: TypeAlias = DescribeApp | CheckArguments | CheckResult | CheckEdit | CheckMessage | CheckSignal
Answer: TypeAlias = AppDescribed | ArgumentsChecked | ResultChecked | MessageChecked


def answer(question: Question) -> Answer:
    """Answer a question, with the app's own validators. Runs on the loop of a program worker.

    Raises:
        BaseException: Whatever a validator raises that is not a validation error.
    """
    match question:
        case CheckArguments(id=id_, workflow=name, arguments=arguments, version=version):
            return check_arguments(id_, name, arguments, version)
        case CheckResult(id=id_, step=ref, value=value):
            return check_result(id_, ref, value)
        case CheckEdit(id=id_, form=form, value=value):
            return check_edit(id_, form, value)
        case CheckMessage(id=id_, session=session, name=name, value=value):
            return check_message(id_, session, name, value)
        case CheckSignal(id=id_, name=name, value=value):
            return check_signal(id_, name, value)
        case DescribeApp(id=id_):
            return AppDescribed(id=id_, definitions=tuple(map(with_schemas, describe())))


def fault(question: Question, error: BaseException) -> Answer:
    """Return the answer to a question that the app's code failed on, or whose value cannot be sent as JSON."""
    if isinstance(error, GreenroomError):
        sentence = describe_exception(error).message
    else:
        sentence = f"the app's own code raised {explain(error)}"
    faults = (Fault(field="", sentence=sentence),)
    match question:
        case CheckArguments(id=id_):
            return ArgumentsChecked(id=id_, faults=faults)
        case CheckResult(id=id_) | CheckEdit(id=id_):
            return ResultChecked(id=id_, faults=faults)
        case CheckMessage(id=id_) | CheckSignal(id=id_):
            return MessageChecked(id=id_, faults=faults)
        case DescribeApp(id=id_):
            return AppDescribed(id=id_, definitions=(), faults=faults)
