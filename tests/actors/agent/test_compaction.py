"""Which part of a conversation is summarised, what stands afterwards, and how often a model is asked for it."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom import ContextTooLong, StepFailed
from greenroom.actors.agent.compaction import HALF, WHOLE, compact, oldest_part
from greenroom.actors.agent.transcript import Transcript
from greenroom.messages.core.json_text import plain, text_of
from greenroom.messages.transcript import (
    AssistantMessage,
    Entry,
    ModelAnswer,
    ToolCall,
    ToolList,
    ToolMessage,
    ToolSchema,
    UserMessage,
    as_array,
    entry_id,
    newest_first,
)

TOOLS = ToolList(tools=(ToolSchema(name="t", parameters={"type": "object"}),))
CALL = ToolCall(id="c1", name="t")


def user(size: int, mark: str = "u") -> UserMessage:
    return UserMessage(text=mark * size)


def asked(size: int = 1) -> AssistantMessage:
    return AssistantMessage(text="a" * size, calls=(CALL,))


def result(size: int) -> ToolMessage:
    return ToolMessage(call="c1", name="t", text="r" * size)


SIZES = st.integers(1, 4000)
TURNS = st.lists(
    st.one_of(
        st.builds(lambda n: [user(n)], SIZES),
        st.builds(lambda n, m: [asked(n), result(m), result(m)], SIZES, SIZES),
        st.builds(lambda n: [AssistantMessage(text="a" * n)], SIZES),
        st.just([TOOLS]),
    ),
    max_size=12,
).map(lambda turns: [message for turn in turns for message in turn])


def size_of(entries: Any) -> int:
    return sum(0 if isinstance(entry, ToolList) else len(entry.model_dump_json()) for entry in entries)


# ---------------------------------------------------------------- the part


@given(TURNS, st.sampled_from([HALF, 33, 25, 12, 1]))
def test_a_part_is_the_oldest_and_separates_no_call_from_its_result(entries: list[Any], percent: int) -> None:
    head, part = oldest_part(entries, percent)
    rest = entries[len(head) :]
    assert list(head) == entries[: len(head)]
    assert (part.read, part.left, part.kept) == (size_of(head), size_of(rest), len(rest))
    if head:
        assert not isinstance(rest[0], ToolMessage)
        assert any(not isinstance(entry, ToolList) for entry in rest), "the newest message is not summarised"
        assert part.read * 100 <= percent * size_of(entries) or percent == HALF


@pytest.mark.parametrize(
    ("entries", "percent", "length"),
    [
        ([user(1000), user(1000), user(1000), user(1000)], HALF, 2),
        ([user(1000), user(1000), user(1000), user(1000)], 25, 1),
        ([user(1000)], HALF, 0),
        ([TOOLS, user(1000)], HALF, 0),
        ([user(10), asked(), result(100_000)], HALF, 0),  # the start is not worth it
        ([user(100_000), user(10)], HALF, 1),  # one long message, which was not refused alone yet
        ([user(100_000), user(10)], 25, 0),  # and which was
        ([user(1000), asked(), result(3000), asked(), result(3000), user(10)], HALF, 3),  # at least half
        ([user(1000), asked(), result(3000), asked(), result(3000), user(10)], 40, 1),
        ([user(10), asked(), result(3000), asked(), result(3000), user(10)], HALF, 3),
    ],
)
def test_how_much_is_summarised(entries: list[Any], percent: int, length: int) -> None:
    head, _ = oldest_part(entries, percent)
    assert len(head) == length


# ---------------------------------------------------------------- what stands afterwards


@given(st.lists(st.one_of(st.just("add"), st.integers(0, 8)), max_size=30))
def test_a_transcript_with_summaries_is_the_same_as_the_list_that_it_stands_for(steps: list[Any]) -> None:
    transcript, entries = Transcript(), dict[str, Entry]()
    said: list[str] = []
    for number, step in enumerate(steps):
        if step == "add":
            transcript.add(UserMessage(text=f"m{number}"))
            said.append(f"m{number}")
        else:
            keep = min(step, len(said))
            transcript.replace(TOOLS, f"s{number}", keep)
            said = [f"s{number}", *said[len(said) - keep :], "tools"]
        entries |= {entry_id(entry): entry for entry in transcript.use().new}
    found: Any = plain(as_array(newest_first(entries, transcript.tip)))
    assert [message.get("text", "tools") for message in found] == said


def test_entries_of_former_journals_keep_their_identity() -> None:
    entry = Entry(parent="p", message={"role": "user", "text": "hi"})
    assert entry_id(entry) == "4404e106f458056a1173047d945d6e58"
    assert entry_id(entry.model_copy(update={"keep": 0})) != entry_id(entry)
    assert Entry.model_validate_json(b'{"parent":"","message":{"role":"user","text":"hi"}}').keep is None


# ---------------------------------------------------------------- how often a model is asked


class Reader:
    """Summarises what it can read: a part of at most ``limit`` characters."""

    def __init__(self, transcript: Transcript, limit: int, summary: str = "short") -> None:
        self.transcript, self.limit, self.summary = transcript, limit, summary
        self.entries: dict[str, Entry] = {}
        self.read: list[int] = []
        self.refused = 0

    def said(self) -> list[Any]:
        self.entries |= {entry_id(entry): entry for entry in self.transcript.use().new}
        kinds: dict[str, Any] = {
            "user": UserMessage,
            "assistant": AssistantMessage,
            "tool": ToolMessage,
            "tools": ToolList,
        }
        messages = list(newest_first(self.entries, self.transcript.tip))[::-1]
        return [kinds[plain(each)["role"]].model_validate_json(text_of(each)) for each in messages]

    async def __call__(self, percent: int) -> ModelAnswer:
        head: Any = self.said()
        part = None
        if percent != WHOLE:
            head, part = oldest_part(head, percent)
            if not part.read:
                return ModelAnswer(message=AssistantMessage(), part=part)
        if size_of(head) > self.limit:
            self.refused += 1
            msg = "too long"
            raise ContextTooLong(msg)
        self.read.append(size_of(head))
        return ModelAnswer(message=AssistantMessage(text=self.summary), part=part)


def shorten(messages: list[Any], limit: int, percent: int = HALF, summary: str = "short") -> tuple[bool, Reader]:
    transcript = Transcript()
    for message in messages:
        transcript.add(message)
    reader = Reader(transcript, limit, summary)
    return asyncio.run(compact(transcript, TOOLS, reader, percent)), reader


def test_half_of_a_conversation_that_is_a_little_too_long_is_summarised_by_one_call() -> None:
    done, reader = shorten([user(100, str(n)) for n in range(10)], limit=1200)
    assert (done, len(reader.read), reader.refused) == (True, 1, 0)
    said = reader.said()
    assert said[0].text.endswith("\n\nshort")
    assert [each.text[0] for each in said[1:-1]] == list("56789")
    assert said[-1] == TOOLS


@given(TURNS)
def test_what_is_left_beside_half_is_no_longer_than_half_unless_the_newest_message_is(entries: list[Any]) -> None:
    _, part = oldest_part(entries, HALF)
    groups = [place for place, entry in enumerate(entries) if not isinstance(entry, (ToolMessage, ToolList))]
    if part.read:
        assert part.left <= part.read or part.left == size_of(entries[groups[-1] :])


def test_where_half_is_too_long_as_well_smaller_parts_follow_until_the_rest_can_be_read() -> None:
    done, reader = shorten([user(970, str(n)) for n in range(16)], limit=5000)
    assert done
    assert reader.refused == 1, "half of 16,000"
    assert len(reader.read) == 5
    assert all(read <= 5000 for read in reader.read)
    assert size_of(reader.said()) <= 5000


def test_a_model_that_refuses_every_part_is_asked_three_times() -> None:
    done, reader = shorten([user(100) for _ in range(100)], limit=0)
    assert (done, reader.read, reader.refused) == (False, [], 3)
    assert len(reader.said()) == 100, "the conversation is as it was"


def test_the_summary_of_a_whole_conversation_is_asked_for_in_parts_where_it_is_refused() -> None:
    messages = [user(100) for _ in range(10)]
    done, reader = shorten(messages, limit=10_000, percent=WHOLE)
    assert (done, reader.refused, len(reader.said())) == (True, 0, 2)
    done, reader = shorten(messages, limit=800, percent=WHOLE)
    assert (done, reader.refused, len(reader.read)) == (True, 1, 1)
    assert len(reader.said()) == 7, "a summary, five messages, the tools"


def test_nothing_is_asked_for_where_there_is_nothing_older() -> None:
    assert shorten([user(5000)], limit=1000)[1].read == []
    done, reader = shorten([user(10), asked(), result(50_000)], limit=1000)
    assert (done, reader.read, reader.refused) == (False, [], 0)


def test_summaries_that_are_no_shorter_are_not_asked_for_for_ever() -> None:
    _, reader = shorten([user(970) for _ in range(16)], limit=2200, summary="s" * 2000)
    assert len(reader.read) + reader.refused <= 8


@given(st.lists(st.integers(1, 900), min_size=2, max_size=60), st.integers(4000, 40_000))
def test_whatever_the_sizes_and_the_limit_a_conversation_of_short_messages_can_be_read_afterwards(
    sizes: list[int], limit: int
) -> None:
    messages = [user(size) for size in sizes]
    if size_of(messages) <= limit or size_of(messages) > 4 * limit:
        return
    done, reader = shorten(messages, limit)
    assert done
    assert size_of(reader.said()) <= limit + 200
    kept = [message for message in reader.said() if not isinstance(message, ToolList)]
    assert kept[-1] == messages[-1]


def test_another_failure_of_a_summary_is_raised() -> None:
    async def fails(_percent: int) -> ModelAnswer:
        msg = "down"
        raise StepFailed(msg)

    with pytest.raises(StepFailed, match="down"):
        asyncio.run(compact(Transcript("x"), TOOLS, fails, HALF))
