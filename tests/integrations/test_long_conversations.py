"""Long conversations of Pydantic AI's agents: each message is stored once, in a run and in its forks."""

import pytest

pytest.importorskip("pydantic_ai", reason="pip install 'greenroom[pydantic-ai]'")

from greenroom import Orchestrator, Pool
from tests.acceptance.replay.test_long_conversations import used
from tests.integrations.apps import long_talk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HALF = long_talk.CALLS // 2 + 1


@pytest.mark.parametrize(
    ("conversation", "halfway", "most_of_fork"),
    [
        (long_talk.ask_on, f"talker#{HALF}/model#1", 50e3),
        (long_talk.search_on, f"seeker#1/model#{HALF}", 200e3),  # with 50 calls of tools, and their contexts
    ],
    ids=["questions", "tools"],
)
def test_a_conversation_of_209_000_tokens_is_stored_once(conversation, halfway, most_of_fork, tmp_path) -> None:
    pools = {kind: Pool(size=1) for kind in ("program", "llm", "tool")}
    with Orchestrator(tmp_path / "runs.db", home=tmp_path / "home", pools=pools, durability="process") as orchestrator:
        run = orchestrator.start(conversation, long_talk.CALLS)
        last = run.result(timeout=120)
        sent = (2 * long_talk.CALLS - 1) * long_talk.CHARACTERS
        assert last.startswith(f"{2 * long_talk.CALLS - 1} messages of {sent} characters.")
        before = used(tmp_path / "runs.db")
        print("journal of the conversation in MB:", before / 1e6)
        assert before < 3e6

        fork = run.fork(at=halfway)
        fork.pause()
        added = used(tmp_path / "runs.db") - before
        print("a fork at call 50 adds kB:", added / 1e3)
        assert added < most_of_fork
        fork.resume()
        assert fork.result(timeout=120).startswith(f"{2 * long_talk.CALLS - 1} messages of ")
