"""A name that another system has for a thing leads to the one that it has here, and none of those sentences is stale."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

import greenroom
from greenroom import (
    LLM,
    AsyncRun,
    Breaker,
    Budget,
    Client,
    Judge,
    ModelLimit,
    Pairwise,
    Panel,
    Person,
    Pool,
    Retry,
    Run,
    RunFailed,
    Schedule,
    Session,
    Step,
    Workflow,
    evaluator,
    mcp,
    session,
    tool,
    workflow,
)
from greenroom.messages.core.other_names import ATTRIBUTES, OPTIONS, PACKAGE
from greenroom.messages.events.schedules import ScheduleRecord
from greenroom.messages.records.records import ApprovalRecord, RunRecord, SessionRecord, WorkerRecord
from greenroom.workflows.api.base import BaseOrchestrator
from greenroom.workflows.api.orchestrator import Orchestrator
from greenroom.workflows.authoring.llm import LLMOptions
from greenroom.workflows.authoring.session import Handler

CLASSES = {
    cls.__name__: cls
    for cls in (
        *(ApprovalRecord, BaseOrchestrator, Handler, LLM, Run, RunRecord, Schedule, ScheduleRecord, Session),
        *(SessionRecord, Step, WorkerRecord, Workflow),
    )
}
OWNERS = {
    "orchestrator": Orchestrator,
    "orchestrator.get(run_id)": Run,
    "orchestrator.get(record.id)": Run,
    "orchestrator.session(handler, key)": Session,
    "orchestrator.session(handler, record.key)": Session,
    "orchestrator.session({name}, key)": Session,
    "orchestrator.get_schedule(record.name)": Schedule,
    "run": Run,
    "session": Session,
    "schedule": Schedule,
}
MADE_BY_HAND = (Retry, Budget, ModelLimit, Breaker)
WITH_HINTS = (Pool, Orchestrator, Client, Judge, Pairwise, Panel, Person, mcp)
FUNCTIONS: dict[str, Any] = {"tool": tool, "evaluator": evaluator, "workflow": workflow, "session": session} | {
    called.__name__: called for called in (*MADE_BY_HAND, *WITH_HINTS)
}


def options_of(function: str) -> set[str]:
    if FUNCTIONS.get(function) in MADE_BY_HAND:
        return {*FUNCTIONS[function].model_fields}
    if FUNCTIONS.get(function) in WITH_HINTS:
        return {*inspect.signature(FUNCTIONS[function]).parameters}
    return {*LLMOptions.__annotations__, "output"} if function == "LLM" else {*FUNCTIONS[function].__kwdefaults__}


def sentences() -> Iterator[tuple[str, str]]:
    """Give each name with its sentence."""
    for names in (PACKAGE, *ATTRIBUTES.values(), *OPTIONS.values()):
        yield from names.items()


def test_what_the_sentences_name_is_there():
    stale = set[str]()
    for name, sentence in sentences():
        for owner, attribute in re.findall(r"`(?:await )?([a-z]+(?:\.\w+\([^)]*\))?)\.(\w+|\{attribute\})", sentence):
            meant = name if attribute == "{attribute}" else attribute
            if owner in OWNERS and not hasattr(OWNERS[owner], meant):
                stale.add(f"{owner}.{meant}")
        calls = re.findall(r"`@?([A-Za-z]+)[(`]", sentence)
        stale |= {
            call for call in calls if not hasattr(greenroom, call) and call not in {"state", "print", "tools"}
        } - {*("try", "except", "with", "logging", "id", "parent")}
    assert stale == set()


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)
def test_an_attribute_by_the_name_of_another_system_says_what_it_is_here(cls):
    made = (
        cls.model_construct()
        if hasattr(cls, "model_construct")
        else object.__new__(Orchestrator if cls is BaseOrchestrator else cls)
    )
    hints = ATTRIBUTES[cls.__name__]
    assert [name for name in hints if name in dir(cls) or name in getattr(cls, "model_fields", ())] == []
    for name, hint in hints.items():
        with pytest.raises(AttributeError, match=re.escape(hint.format(name=None, attribute=name))):
            getattr(made, name)
    with pytest.raises(AttributeError, match="object has no attribute 'otter'$"):
        _ = made.otter


def test_every_class_with_such_sentences_is_checked():
    assert CLASSES.keys() == ATTRIBUTES.keys()


def test_an_asynchronous_handle_says_the_same():
    with pytest.raises(AttributeError, match=re.escape("'AsyncRun' object has no attribute 'wait': it is `run.result")):
        getattr(object.__new__(AsyncRun), "wait")  # noqa: B009  no type checker lets it pass otherwise


def test_what_python_itself_looks_for_is_not_there_as_usual():
    step = tool(lambda: 1)
    for name in ("__annotations__", "__name_of_nothing__", "__wrapped_by__", "__call_of__"):
        assert not hasattr(step, name)


def test_a_property_that_fails_itself_shows_its_own_failure():
    class Broken(Run):
        @property
        def state(self):
            return getattr(RunFailed, "otter")  # noqa: B009  no type checker lets it pass otherwise

    with pytest.raises(AttributeError, match="'RunFailed' has no attribute 'otter'"):
        _ = object.__new__(Broken).state


@pytest.mark.parametrize("name", PACKAGE)
def test_an_import_by_the_name_of_another_system_says_what_it_is_here(name):
    assert name not in dir(greenroom)
    with pytest.raises(ImportError, match=re.escape(PACKAGE[name])):
        exec(f"from greenroom import {name}")


def test_any_other_name_is_refused_as_python_does():
    assert not hasattr(greenroom, "otter")
    with pytest.raises(ImportError, match="cannot import name 'otter'"):
        exec("from greenroom import otter")


@pytest.mark.parametrize("function", OPTIONS)
def test_an_option_by_the_name_of_another_system_says_what_it_is_here(function):
    known = options_of(function)
    given = (lambda **options: LLM("writer", **options)) if function == "LLM" else FUNCTIONS[function]
    assert OPTIONS[function].keys() & known == set()
    for option, hint in OPTIONS[function].items():
        assert set(re.findall(r"^it is `(\w+)=", hint)) <= known
        with pytest.raises(TypeError, match=re.escape(re.split(r"[{]", hint)[0])):
            given(**{option: 1})


@pytest.mark.parametrize("options", MADE_BY_HAND)
def test_options_may_be_given_by_position_as_the_contract_lists_them(options):
    defaults = options()
    values = [getattr(defaults, name) for name in options.model_fields]
    assert options(*values) == defaults
    with pytest.raises(TypeError, match="takes at most"):
        options(*values, None)
    with pytest.raises(TypeError, match="twice"):
        options(*values, **{next(iter(options.model_fields)): values[0]})


@pytest.mark.parametrize("options", MADE_BY_HAND)
def test_all_options_with_wrong_values_are_named_in_a_sentence(options):
    wrong = {name: object() for name in options.model_fields}
    with pytest.raises(ValueError, match=f"{options.__name__} has invalid options") as refused:
        options(**wrong)
    assert all(f"\n  {name}" in str(refused.value) for name in wrong)
    assert "pydantic" not in str(refused.value)


def test_a_misspelled_option_is_told_the_one_that_is_meant():
    with pytest.raises(TypeError, match="did you mean 'attempts'"):
        FUNCTIONS["Retry"](atempts=1)
    with pytest.raises(TypeError, match="did you mean 'timeout'"):
        tool(timout=1)
    with pytest.raises(TypeError, match="did you mean 'settings'"):
        LLM("writer", seting={})
    assert "otter" not in inspect.signature(tool).parameters
    with pytest.raises(TypeError, match="unexpected keyword argument 'otter'$"):
        tool(otter=1)


@pytest.mark.parametrize("called", WITH_HINTS)
def test_what_is_called_with_a_misspelled_option_keeps_its_signature_and_names_the_right_one(called):
    *_, option = inspect.signature(called).parameters
    with pytest.raises(TypeError, match=rf"{called.__name__}\(\) got .* did you mean '{option}'\?"):
        called(**{f"{option}_": 1})
