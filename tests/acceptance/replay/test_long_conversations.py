"""Long conversations: each message is stored once, in a run and in its forks."""

import apsw
import pytest

from tests.acceptance.apps.agents import long_talk


def used(path) -> int:
    """Give the bytes of a journal's tables that hold something."""
    connection = apsw.Connection(str(path))
    try:
        return connection.execute("SELECT sum(pgsize - unused) FROM dbstat").get
    finally:
        connection.close()


@pytest.mark.slow
def test_a_conversation_of_209_000_tokens_is_stored_once(tmp_path, orchestrator, figure):
    run = orchestrator.start(long_talk.talk, long_talk.CALLS)
    last = run.result(timeout=50)
    sent = (2 * long_talk.CALLS - 1) * long_talk.CHARACTERS
    assert last.startswith(f"{2 * long_talk.CALLS - 1} messages of {sent} characters.")
    before = used(tmp_path / "runs.db")
    figure("journal of the conversation", before / 1e6, "MB", "3")
    assert before < 3e6

    fork = run.fork(at=f"talker#{long_talk.CALLS // 2 + 1}/model#1", result="another answer")
    fork.pause()
    added = used(tmp_path / "runs.db") - before
    figure("a fork at call 50 adds", added / 1e3, "kB", "50")
    assert added < 50e3
    fork.resume()
    assert fork.result(timeout=50).startswith(f"{2 * long_talk.CALLS - 1} messages of ")
