"""Making a conversation shorter: its oldest part is replaced by a summary that the model writes.

Where the model has refused the conversation as too long, a summary of all of it would be too long as well. So the model
is given a part, the oldest half first. If that is refused too, it gets half as much, and further parts follow until
what is left is no longer than a part that it was able to read.
"""

from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate
from typing import Final

from greenroom.actors.agent.transcript import Transcript
from greenroom.messages.core.errors import ContextTooLong
from greenroom.messages.transcript import ModelAnswer, SummarisedPart, ToolList, ToolMessage, TranscriptMessage

SUMMARISE: Final = (
    "Summarise this conversation so that you can go on with nothing but the summary: the task, what the user has said "
    "that still matters, what was found and done, with all names, numbers and identifiers, and what is left to do."
)
"""What the model is asked after the part to summarise."""
WHOLE: Final = 100
"""Percentage of a conversation that is summarised when it has reached ``compact_at``."""
HALF: Final = 50
"""Percentage that is summarised first when the model has refused the conversation."""
_LEAST: Final = 10
"""Percentage below which a part is not worth a summary, as what remains is too long anyway."""
_MOST_SUMMARIES: Final = 8
"""Most summaries to ask for, so that a model that refuses everything costs little."""
_SUMMARY: Final = "What was said and done so far, as you have summarised it yourself:\n\n"

Summarise = Callable[[int], Awaitable[ModelAnswer]]
"""Asks a model to summarise the oldest part of a conversation, given as a percentage of its characters.

It raises ``ContextTooLong`` if the model cannot read the part."""


async def compact(transcript: Transcript, tools: ToolList, summarise: Summarise, percent: int) -> bool:
    """Replace the oldest part of a transcript by summaries. Runs in the program, or where an agent is called in place.

    Args:
        transcript: What to make shorter; it changes.
        tools: The tools, which follow the summary.
        summarise: Asks for a summary of the transcript.
        percent: How much to summarise at first, ``WHOLE`` or ``HALF``.

    Returns:
        Whether the transcript is shorter now.

    Raises:
        Exception: No model has given a summary, although the part was not too long for it.
    """
    readable = 0  # characters of the longest part that was not refused
    half_is_too_long = False
    for _ in range(_MOST_SUMMARIES):
        try:
            answer = await summarise(percent)
        except Exception as error:
            if not isinstance(error, ContextTooLong):
                raise
            half_is_too_long = percent <= HALF
            percent = HALF if percent == WHOLE else percent // 2
            if readable or percent < _LEAST:
                break
            continue
        text = _SUMMARY + answer.message.text
        part = answer.part
        if part is None:  # the whole conversation was read
            transcript.begin_again(tools, text)
            return True
        if not part.read:
            break
        transcript.replace(tools, text, part.kept)
        readable = max(readable, part.read)
        if not half_is_too_long or part.left <= readable:
            return True
        percent = min(HALF - 1, max(1, readable * WHOLE // (part.left + len(text))))  # never more than was readable
    return readable > 0


# ---------------------------------------------------------------- the part, chosen where the model is asked


def oldest_part(
    entries: Sequence[TranscriptMessage | ToolList], percent: int
) -> tuple[Sequence[TranscriptMessage | ToolList], SummarisedPart]:
    """Return the oldest entries of a conversation, about as much as ``percent`` of its characters. Pure.

    A call of a tool is not separated from its result, and the newest message is never in the part. Where half is asked
    for, the part is at least half if it can be: then what is left is no longer than what the model was able to read. A
    smaller part is never more than was asked for, as the model has refused a larger one. The part is empty if it would
    be too short to be worth a summary.
    """
    sizes = [0 if isinstance(entry, ToolList) else len(entry.model_dump_json()) for entry in entries]
    total = sum(sizes)
    goal = percent * total / WHOLE
    newest = max((place for place, size in enumerate(sizes) if size), default=0)
    before = [*accumulate(sizes, initial=0)]
    """Characters before each entry."""
    cuts = [
        place
        for place in range(1, newest + 1)
        if before[place] >= min(_LEAST, percent) * total / WHOLE
        and (before[place] <= goal or percent >= HALF)
        and not isinstance(entries[place], ToolMessage)
    ]
    cut = next((place for place in cuts if before[place] >= goal), cuts[-1] if cuts else 0)
    return entries[:cut], SummarisedPart(read=before[cut], kept=len(entries) - cut, left=total - before[cut])
