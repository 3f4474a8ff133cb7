"""The loop of an agent against a model whose answers are written down, outside any run."""

import asyncio
from typing import Any

import pytest

from greenroom import AgentFailed, ContextTooLong, Conversation, InvalidInput, StepFailed
from greenroom.actors.agent.loop import Agent, ModelCall
from greenroom.actors.agent.tool import LONGEST_TEXT
from greenroom.messages.core.json_text import plain
from greenroom.messages.transcript import (
    AssistantMessage,
    Entry,
    ModelAnswer,
    SummarisedPart,
    ToolCall,
    ToolSchema,
    answer_entry,
    as_array,
    entry_id,
    newest_first,
)


class Tool:
    """Records its calls; returns, or raises, what it was made with."""

    def __init__(self, name: str, result: Any = "done", *, approve: bool = False) -> None:
        self.schema = ToolSchema(name=name, parameters={"type": "object"})
        self.result = result
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.approve = approve

    def read(self, arguments):
        if "bad" in arguments:
            msg = "`bad` is not a parameter"
            raise InvalidInput(msg)
        return arguments

    def asks_approval(self, _arguments):
        return self.approve

    async def call(self, label, arguments):
        self.calls.append((label, arguments))
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


class Refused(StepFailed, ContextTooLong):
    """What a workflow sees of a model that refuses a conversation as too long."""


class Model:
    """Gives its answers in order, and keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.entries: dict[str, Entry] = {}
        self.asked: list[list[Any]] = []
        self.models: list[int] = []
        self.percents: list[int | None] = []
        """How much of the conversation was to be summarised, for each call; None for other calls."""

    async def __call__(self, call: ModelCall) -> ModelAnswer:
        use = call.transcript.use()
        self.entries |= {entry_id(entry): entry for entry in use.new}
        read: Any = plain(as_array(newest_first(self.entries, use.tip)))
        self.asked.append(read)
        self.models.append(call.model)
        self.percents.append(call.percent if call.summary else None)
        given = self.answers.pop(0)
        if isinstance(given, BaseException):
            raise given
        answer = (
            given if isinstance(given, ModelAnswer) else ModelAnswer(message=AssistantMessage(text=given), answer=given)
        )
        entry = answer_entry(use.tip, answer)
        self.entries[entry_id(entry)] = entry
        return answer

    def told(self, turn: int = -1) -> list[str]:
        """Give the texts of what the model read last."""
        return [message["text"] for message in self.asked[turn] if message["role"] == "tool"]


def asks(*calls: tuple[str, str], tokens: int = 0) -> ModelAnswer:
    given = tuple(ToolCall(id=f"c{n}", name=name, arguments=text) for n, (name, text) in enumerate(calls, 1))
    return ModelAnswer(message=AssistantMessage(calls=given), final=False, tokens=tokens)


def asks_by_id(id_: str) -> ModelAnswer:
    calls = (ToolCall(id=id_, name="one", arguments="{}"),)
    return ModelAnswer(message=AssistantMessage(calls=calls), final=False, tokens=0)


def run(model: Model, *tools: Tool, prompt: str = "go", history: Conversation | None = None, **options: Any) -> Any:
    return asyncio.run(Agent("a", tools, model, **options).run(prompt, history))


def test_results_come_back_in_the_order_of_the_calls():
    model = Model(asks(("one", '{"x": 1}'), ("two", "")), "well")
    one, two = Tool("one", {"n": 1}), Tool("two", "text")
    assert run(model, one, two) == "well"
    assert one.calls == [("c1", {"x": 1})]
    assert two.calls == [("c2", {})]
    assert model.told() == ['{"n":1}', "text"]
    assert [message["role"] for message in model.asked[-1]] == ["tools", "user", "assistant", "tool", "tool"]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (("nope", "{}"), "there is no tool 'nope', only one"),
        (("ones", "{}"), "did you mean one?"),
        (("one", "{"), "the arguments of one are not JSON"),
        (("one", "[1]"), "the arguments of one are not a JSON object"),
        (("one", '{"bad": 1}'), "`bad` is not a parameter"),
        (("one", '{"x": NaN}'), "the arguments of one are not JSON"),
    ],
)
def test_what_cannot_be_called_is_told_and_not_called(call, sentence):
    model, tool = Model(asks(call), "well"), Tool("one")
    assert run(model, tool) == "well"
    assert tool.calls == []
    assert sentence in model.told()[0]


def test_a_failure_of_a_tool_is_told():
    model = Model(asks(("one", "{}")), "well")
    assert run(model, Tool("one", StepFailed("step one#1 failed after 3 attempts: the worker died"))) == "well"
    assert model.told() == ["the call failed: step one#1 failed after 3 attempts: the worker died"]


def test_a_fault_of_the_programs_own_code_is_no_failure_of_a_tool():
    with pytest.raises(ZeroDivisionError):
        run(Model(asks(("one", "{}"))), Tool("one", ZeroDivisionError()))


def test_a_long_result_is_cut_in_the_middle():
    model = Model(asks(("one", "{}")), "well")
    run(model, Tool("one", "a" * LONGEST_TEXT + "b" * LONGEST_TEXT))
    (told,) = model.told()
    assert told.startswith("aaa")
    assert told.endswith("bbb")
    assert f"[... {LONGEST_TEXT} characters left out ...]" in told


def test_a_circle_is_told_and_then_ended():
    model, tool = Model(*[asks(("one", "{}"))] * 10), Tool("one")
    with pytest.raises(AgentFailed, match="goes round in circles") as caught:
        run(model, tool)
    assert caught.value.reason == "loop"
    assert len(tool.calls) == 5
    warned = [any(m["role"] == "user" and "3 times" in m["text"] for m in asked) for asked in model.asked]
    assert warned == [False, False, False, True, True]


class Failing(Tool):
    """Fails like the step of a run, whose key has the label of the call and how often that was used."""

    async def call(self, label, arguments):
        self.calls.append((label, arguments))
        step = f"agent#1/one[{label}]#{sum(each == label for each, _ in self.calls)}"
        msg = f"step {step}/model#1 failed after 1 attempt: ValueError: broken"
        raise StepFailed(msg, step=step)


@pytest.mark.parametrize("ids", [[f"call_{number}" for number in range(9)], ["c1"] * 9, [f"ä{n}" for n in range(9)]])
def test_a_circle_of_calls_that_fail_is_noticed_although_each_has_a_step_of_its_own(ids):
    model = Model(*[asks_by_id(each) for each in ids])
    tool = Failing("one")
    with pytest.raises(AgentFailed, match="goes round in circles"):
        run(model, tool)
    assert len(tool.calls) == 5


def test_calls_that_fail_in_another_way_each_time_are_no_circle():
    class Counting(Tool):
        async def call(self, label, arguments):
            self.calls.append((label, arguments))
            msg = f"step agent#1/one[{label}]#1 failed after 1 attempt: ValueError: {len(self.calls)} of 9 are ready"
            raise StepFailed(msg)

    assert run(Model(*[asks_by_id(f"call_{n}") for n in range(9)], "well"), Counting("one")) == "well"


def test_an_agent_that_does_not_answer_ends():
    model = Model(*[asks(("one", f'{{"n": {n}}}')) for n in range(9)])
    with pytest.raises(AgentFailed, match="has not answered after 4 model calls") as caught:
        run(model, Tool("one"), max_turns=4)
    assert caught.value.reason == "turns"
    assert len(model.asked) == 4


def test_the_next_model_takes_over_and_keeps_the_conversation():
    model = Model(asks(("one", "{}")), StepFailed("down"), asks(("one", '{"n": 2}')), "well")
    assert run(model, Tool("one"), models=2) == "well"
    assert model.models == [0, 0, 1, 1]
    assert len(model.told()) == 2


def test_the_last_models_failure_is_raised():
    with pytest.raises(StepFailed, match="second"):
        run(Model(StepFailed("first"), StepFailed("second")), models=2)


def test_history_goes_on_and_stays_as_it_was_after_a_failure():
    history, model = Conversation(), Model("one", StepFailed("down"), "two")
    assert run(model, history=history, prompt="first") == "one"
    tip = history.tip
    with pytest.raises(StepFailed):
        run(model, history=history, prompt="lost")
    assert history.tip == tip
    assert run(model, history=history, prompt="second") == "two"
    assert [message["text"] for message in model.asked[-1] if "text" in message] == ["first", "one", "second"]


def test_tools_are_stored_once_in_a_conversation():
    history, model, tool = Conversation(), Model("one", "two", "three"), Tool("one")
    for tools in ([tool], [tool], [tool, Tool("two")]):
        run(model, *tools, history=history)
    assert [message["role"] for message in model.asked[-1]].count("tools") == 2


def test_a_long_conversation_is_summarised_between_calls():
    model = Model(asks(("one", "{}"), tokens=100), "the summary", "well")
    assert run(model, Tool("one"), compact_at=100, prompt="long task") == "well"
    assert model.asked[1][-1]["text"].startswith("Summarise this conversation")
    assert model.asked[1][-2]["role"] == "tool"
    assert [message["role"] for message in model.asked[2]] == ["tools", "user"]
    assert model.asked[2][-1]["text"].endswith("the summary")


# ---------------------------------------------------------------- conversations that are refused as too long


def summary(text: str, kept: int, read: int = 500, left: int = 500) -> ModelAnswer:
    return ModelAnswer(message=AssistantMessage(text=text), part=SummarisedPart(read=read, kept=kept, left=left))


def said(messages: list[Any]) -> list[str]:
    return [
        message["text"].partition("yourself:\n\n")[2] or message["text"] for message in messages if "text" in message
    ]


def test_a_refused_conversation_is_made_shorter_and_the_same_model_is_asked_again():
    history, model = Conversation(), Model("one", Refused("too long"), summary("sum", 1), "two", "three")
    run(model, history=history, prompt="first", models=2)
    assert run(model, history=history, prompt="second", models=2) == "two"
    assert model.models == [0] * 4
    assert model.percents == [None, None, 50, None]
    assert said(model.asked[3]) == ["sum", "second"]
    assert run(model, history=history, prompt="third") == "three"
    assert said(model.asked[4]) == ["sum", "second", "two", "third"], "the history is the shorter one"


def test_in_the_middle_of_a_task_the_newest_calls_are_kept_as_they_are():
    model = Model(asks(("one", "{}")), asks(("one", '{"n": 1}')), Refused("too long"), summary("sum", 2), "well")
    assert run(model, Tool("one"), prompt="task") == "well"
    assert [message["role"] for message in model.asked[-1]] == ["user", "assistant", "tool", "tools"]
    assert said(model.asked[-1])[0] == "sum"


def test_a_model_is_asked_about_a_shorter_conversation_once_and_then_the_next_one_is():
    model = Model(asks(("one", "{}")), Refused("first"), summary("sum", 2), Refused("second"), "well")
    assert run(model, Tool("one"), models=2) == "well"
    assert model.models == [0, 0, 0, 0, 1]
    assert model.asked[4] == model.asked[3], "the next model is asked about the shorter one"


def test_the_next_model_is_given_the_same_chance_if_the_first_had_none():
    model = Model(asks(("one", "{}")), StepFailed("down"), Refused("too long"), summary("sum", 2), "well")
    assert run(model, Tool("one"), models=2) == "well"
    assert model.models == [0, 0, 1, 1, 1]


def test_each_call_of_a_model_may_make_the_conversation_shorter():
    replies = [asks(("one", "{}")), Refused("1"), summary("sum", 2), asks(("one", '{"n": 1}')), Refused("2")]
    model = Model(*replies, summary("sum again", 2), "well")
    assert run(model, Tool("one")) == "well"
    assert said(model.asked[-1])[0] == "sum again"


def test_a_single_message_that_is_too_long_goes_to_the_next_model_at_once():
    model = Model(Refused("too long"), "well")
    assert run(model, Tool("one"), models=2) == "well"
    assert model.percents == [None, None]


@pytest.mark.parametrize(
    ("replies", "sentence"),
    [
        ([Refused("f")], "cannot make the conversation shorter"),
        ([asks(("one", "{}")), Refused("f"), summary("", 4, read=0)], "cannot make the conversation shorter"),
        ([asks(("one", "{}")), *[Refused("f")] * 4], "cannot make the conversation shorter"),
        ([asks(("one", "{}")), Refused("f"), summary("s", 2), Refused("l")], "and the rest is still too long"),
    ],
    ids=["a single message", "nothing worth a summary", "no part can be read", "the rest is too long"],
)
def test_what_cannot_be_made_short_enough_fails_and_says_what_to_do(replies, sentence):
    with pytest.raises(Refused) as caught:
        run(Model(*replies), Tool("one"))
    (note,) = caught.value.__notes__
    assert note.startswith("agent `a` ")
    assert sentence in note
    assert "shorten the prompt or the results of its tools, or give it a model or a fallback that reads more" in note


def test_a_summary_that_was_asked_for_early_and_is_refused_is_asked_for_in_parts():
    replies = [asks(("one", "{}"), tokens=100), Refused("too long"), summary("sum", 2), "well"]
    model = Model(*replies)
    assert run(model, Tool("one"), compact_at=100) == "well"
    assert model.percents == [None, 100, 50, None]
    assert "Summarise" not in str(model.asked[2:]), "the question for the whole is no part of the conversation"


def test_an_agent_goes_on_with_a_long_conversation_where_no_summary_can_be_had():
    model = Model(asks(("one", "{}"), tokens=100), *[Refused("too long")] * 4, "well")
    assert run(model, Tool("one"), compact_at=100) == "well"
    assert model.asked[-1] == model.asked[-2]


def test_in_place_a_model_may_fail_with_any_exception():
    history = Conversation()
    model = Model("one", ContextTooLong("too long"), summary("sum", 1), ConnectionError("down"), "two")
    run(model, history=history, in_place=True)
    assert run(model, history=history, models=2, in_place=True) == "two"
    assert model.models == [0, 0, 0, 0, 1]
    with pytest.raises(ConnectionError):
        run(Model(ConnectionError("down"), "two"), models=2)


def test_strange_ids_of_calls_stay_out_of_keys():
    odd = ModelAnswer(message=AssistantMessage(calls=(ToolCall(id="a]#1/x", name="one"),)), final=False)
    tool = Tool("one")
    run(Model(odd, "well"), tool)
    assert tool.calls == [("1", {})]
