"""What every journal promises; each implementation passes all of it."""

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from greenroom.journal.interface import Append, Journal, Mark, RunRow, Stored, Timer
from greenroom.journal.sqlite.group_commit import GroupCommit
from greenroom.messages.core.errors import EventUnwritable, JournalError, OrchestratorClosed, SequenceConflict
from greenroom.messages.core.json_text import plain
from tests.journal.appends import WAIT, Client, changed, row, started

pytestmark = pytest.mark.timeout(60)


def seqs(stored: Sequence[Stored]) -> list[int]:
    return [each.seq for each in stored]


def test_what_was_acknowledged_is_read_back_in_order(journal: Journal, client: Client) -> None:
    assert client.append("r", 0, started("r"), changed({"n": 1})) is None
    assert client.append("r", 2, changed([1.5, None, "ä\u0000\U0001f600", True])) is None
    assert journal.events("r") == [
        Stored(1, started("r")),
        Stored(2, changed({"n": 1})),
        Stored(3, changed([1.5, None, "ä\u0000\U0001f600", True])),
    ]


def test_a_run_that_was_never_written_has_no_events_and_no_line(journal: Journal) -> None:
    assert journal.events("nobody") == []
    assert journal.run("nobody") is None
    assert journal.runs() == []
    assert journal.timers() == []


def test_events_can_be_read_from_any_position_and_in_pieces(journal: Journal, client: Client) -> None:
    client.append("r", 0, *(changed(n) for n in range(1, 8)))
    assert seqs(journal.events("r", after=5)) == [6, 7]
    assert seqs(journal.events("r", limit=3)) == [1, 2, 3]
    assert seqs(journal.events("r", after=2, limit=2)) == [3, 4]
    assert seqs(journal.events("r", after=2, limit=0)) == []
    assert seqs(journal.events("r", limit=0)) == []
    assert journal.events("r", after=7) == []
    assert journal.events("r", after=100) == []


def test_runs_do_not_see_each_others_events(journal: Journal, client: Client) -> None:
    client.append("a", 0, changed("a"))
    client.append("b", 0, changed("b"))
    client.append("a", 1, changed("a again"))
    assert [each.event for each in journal.events("a")] == [changed("a"), changed("a again")]
    assert [each.event for each in journal.events("b")] == [changed("b")]


@pytest.mark.parametrize("expected", [0, 2, 7])
def test_an_append_at_the_wrong_position_is_refused_and_changes_nothing(
    journal: Journal, client: Client, expected: int
) -> None:
    client.append("r", 0, started("r"))
    answer = client.append("r", expected, changed(1), row=row("r", status="failed"), timers_set=[Timer("r", "t", 1.0)])
    assert isinstance(answer, SequenceConflict)
    assert seqs(journal.events("r")) == [1]
    assert journal.run("r") == row("r", last_seq=1)
    assert journal.timers() == []
    assert client.append("r", 1, changed(1)) is None


def test_a_conflict_fails_only_its_own_append_of_a_group(journal: Journal, client: Client) -> None:
    answers = in_one_group(
        client,
        [
            ("a", 0, changed(1)),
            ("b", 5, changed(1)),
            ("a", 1, changed(2)),
            ("a", 1, changed("late")),
            ("c", 0, changed(1)),
            ("a", 2, changed(3)),
        ],
    )
    assert [type(answer) for answer in answers] == [
        type(None),
        SequenceConflict,
        type(None),
        SequenceConflict,
        type(None),
        type(None),
    ]
    assert [each.event for each in journal.events("a")] == [changed(1), changed(2), changed(3)]
    assert journal.run("b") is None
    assert journal.verify() == []


@pytest.mark.parametrize("text", ["\ud800", "a\udcffb"])
def test_what_cannot_be_written_fails_only_its_own_append(journal: Journal, client: Client, text: str) -> None:
    answers = in_one_group(
        client, [("a", 0, changed(1)), ("b", 0, changed(text)), ("b", 0, changed(2)), ("a", 1, changed(3))]
    )
    assert [type(answer) for answer in answers] == [type(None), EventUnwritable, type(None), type(None)]
    assert isinstance(client.append("a", 2, changed(1), row=row("a", reason=text)), EventUnwritable)
    assert isinstance(client.append("a", 2, timers_set=[Timer("a", text, 1.0)]), EventUnwritable)
    assert isinstance(client.append("a", 2, timers_cleared=[text]), EventUnwritable)
    assert client.append("a", 2, changed(4)) is None
    assert journal.verify() == []


def in_one_group(client: Client, appends: Sequence[tuple[str, int, object]]) -> list[JournalError | None]:
    """Make the writer wait in an answer while appends are queued, so that they are committed together."""
    held, release = threading.Event(), threading.Event()

    def hold(_error: JournalError | None) -> None:
        held.set()
        release.wait(WAIT)

    client.journal.append(Append("holding", 0, (), row("holding"), done=hold))
    assert held.wait(WAIT)
    waiting = [client.send(run_id, expected, event) for run_id, expected, event in appends]  # type: ignore[arg-type]
    release.set()
    return [answer.get(timeout=WAIT) for answer in waiting]


def test_answers_come_in_order_in_one_thread_that_is_not_the_callers(journal: Journal) -> None:
    order: list[int] = []
    threads: set[threading.Thread] = set()
    finished = threading.Event()

    def done(number: int) -> None:
        order.append(number)
        threads.add(threading.current_thread())
        if number == 199:
            finished.set()

    for number in range(200):
        run_id = f"r{number % 7}"
        journal.append(
            Append(run_id, number // 7, [changed(number)], row(run_id), done=lambda _, number=number: done(number))
        )  # type: ignore[misc]
    assert finished.wait(WAIT)
    assert order == list(range(200))
    assert len(threads) == 1
    assert threading.current_thread() not in threads


def test_what_is_acknowledged_can_be_read_inside_the_acknowledgement(journal: Journal) -> None:
    seen: list[list[int]] = []
    finished = threading.Event()

    def done(_error: JournalError | None) -> None:
        seen.append(seqs(journal.events("r")))
        finished.set()

    journal.append(Append("r", 0, [changed(1), changed(2)], row("r"), done=done))
    assert finished.wait(WAIT)
    assert seen == [[1, 2]]


def test_an_acknowledgement_may_append_more(journal: Journal, client: Client) -> None:
    finished = threading.Event()

    def again(_error: JournalError | None) -> None:
        journal.append(Append("r", 1, [changed(2)], row("r"), done=lambda _: finished.set()))

    journal.append(Append("r", 0, [changed(1)], row("r"), done=again))
    assert finished.wait(WAIT)
    assert seqs(journal.events("r")) == [1, 2]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_acknowledgement_that_raises_is_reported_and_harms_nobody_else(
    journal: Journal, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_type))

    def broken(_error: JournalError | None) -> None:
        raise SystemExit

    journal.append(Append("r", 0, [changed(1)], row("r"), done=broken))
    assert client.append("r", 1, changed(2)) is None
    assert reported == [SystemExit]


def test_the_index_holds_the_newest_line_and_counts_the_events(journal: Journal, client: Client) -> None:
    client.append("r", 0, started("r"), changed(1))
    line = RunRow("r", "other", "b.py", "failed", 3.0, 4.0, 5.0, "parent", "it broke", 77, "session", 2)
    client.append("r", 2, changed(2), row=line)
    assert journal.run("r") == RunRow(
        "r", "other", "b.py", "failed", 3.0, 4.0, 5.0, "parent", "it broke", 3, "session", 2
    )


def test_runs_are_listed_newest_first_and_can_be_chosen(journal: Journal, client: Client) -> None:
    for number, (status, workflow) in enumerate(
        [("running", "a"), ("failed", "a"), ("running", "b"), ("completed", "a")]
    ):
        client.append(
            f"r{number}", 0, row=row(f"r{number}", status=status, workflow=workflow, started_at=float(number))
        )

    def ids(rows: Sequence[RunRow]) -> list[str]:
        return [each.id for each in rows]

    assert ids(journal.runs()) == ["r3", "r2", "r1", "r0"]
    assert ids(journal.runs(limit=2)) == ["r3", "r2"]
    assert ids(journal.runs(limit=None, workflow="a")) == ["r3", "r1", "r0"]
    assert ids(journal.runs(status=["running"])) == ["r2", "r0"]
    assert ids(journal.runs(status=["failed", "completed"], workflow="a")) == ["r3", "r1"]
    assert ids(journal.runs(status=[])) == []
    assert ids(journal.runs(limit=2, after="r2")) == ["r1", "r0"]
    assert ids(journal.runs(limit=1, workflow="a", after="r2")) == ["r1"], "where the other one itself does not belong"
    assert ids(journal.runs(after="r0")) == []
    with pytest.raises(LookupError, match="r9"):
        journal.runs(after="r9")
    client.append("r0~1", 0, row=replace(row("r0~1", status="running", workflow="a", started_at=4.0), parent="r0"))
    client.append("r3~1", 0, row=replace(row("r3~1", status="running", workflow="a", started_at=5.0), parent="r3"))
    assert ids(journal.runs(strays=True)) == ["r3~1"], "r0 still goes on"
    assert ids(journal.runs(strays=True, status=["failed"])) == []
    client.append("s", 0, row=replace(row("s", status="waiting", workflow="a", started_at=6.0), kind="session"))
    client.append("s~1", 0, row=replace(row("s~1", status="waiting", workflow="a", started_at=7.0), parent="s"))
    assert ids(journal.runs(strays=True)) == ["s~1", "r3~1"]


def test_no_more_than_a_hundred_runs_are_listed_unless_asked(journal: Journal, client: Client) -> None:
    for number in range(101):
        answer = client.send(f"r{number}", 0, row=row(f"r{number}", started_at=float(number)))
    assert answer.get(timeout=WAIT) is None
    assert len(journal.runs()) == 100
    assert len(journal.runs(limit=None)) == 101


def test_timers_are_kept_until_cleared_and_listed_soonest_first(journal: Journal, client: Client) -> None:
    client.append("a", 0, timers_set=[Timer("a", "late", 30.0), Timer("a", "soon", 10.0)])
    client.append("b", 0, timers_set=[Timer("b", "soon", 20.0)])
    assert journal.timers() == [Timer("a", "soon", 10.0), Timer("b", "soon", 20.0), Timer("a", "late", 30.0)]
    assert journal.timers(before=20.0) == [Timer("a", "soon", 10.0), Timer("b", "soon", 20.0)]
    client.append("a", 0, timers_cleared=["soon", "never set"], timers_set=[Timer("a", "late", 5.0)])
    assert journal.timers() == [Timer("a", "late", 5.0), Timer("b", "soon", 20.0)]


def test_a_timer_cleared_and_set_in_one_append_is_set(journal: Journal, client: Client) -> None:
    client.append("a", 0, timers_set=[Timer("a", "t", 30.0)])
    client.append("a", 0, timers_cleared=["t"], timers_set=[Timer("a", "t", 40.0)])
    assert journal.timers() == [Timer("a", "t", 40.0)]


def test_marks_are_kept_until_cleared_and_found_by_name(journal: Journal, client: Client) -> None:
    marks = [Mark("a", "dead_letter", "7", 1), Mark("a", "message", "key", 1)]
    client.append("a", 0, changed(1), marks_set=marks)
    client.append("b", 0, changed(1), marks_set=[Mark("b", "dead_letter", "2", 1)])
    assert journal.marks("dead_letter") == [Mark("a", "dead_letter", "7", 1), Mark("b", "dead_letter", "2", 1)]
    assert journal.marks("dead_letter", "b") == [Mark("b", "dead_letter", "2", 1)]
    assert journal.marks("message", "a", "key") == [Mark("a", "message", "key", 1)]
    assert journal.marks("message", "a", "other") == journal.marks("approval") == []
    client.append("a", 1, changed(2), marks_cleared=[("dead_letter", "7")])
    assert journal.marks("dead_letter", "a") == []
    assert journal.marks("message", "a", "key") == [Mark("a", "message", "key", 1)]


def test_timers_can_be_listed_of_waiting_runs_alone(journal: Journal, client: Client) -> None:
    client.append("a", 0, changed(1), row=row("a", status="waiting"), timers_set=[Timer("a", "t", 1.0)])
    client.append("b", 0, changed(1), row=row("b", status="parked"), timers_set=[Timer("b", "t", 2.0)])
    assert journal.timers(waiting=True) == [Timer("a", "t", 1.0)]
    assert journal.timers(waiting=False) == [Timer("a", "t", 1.0), Timer("b", "t", 2.0)]


def test_values_of_any_size_come_back_whole(journal: Journal, client: Client) -> None:
    sizes = [0, 1, 1_000, 65_400, 65_535, 65_536, 65_537, 1_000_000]
    assert client.append("r", 0, *(changed("x" * size) for size in sizes)) is None
    assert [len(plain(each.event.state)) for each in journal.events("r")] == sizes  # type: ignore[union-attr, arg-type]
    assert journal.verify() == []


def test_an_append_of_thousands_of_events_is_one_append(journal: Journal, client: Client) -> None:
    assert client.append("r", 0, *(changed(n) for n in range(5_000))) is None
    assert seqs(journal.events("r")) == list(range(1, 5_001))


def test_closing_commits_what_is_queued_and_refuses_what_comes_after(journal: Journal, client: Client) -> None:
    waiting = [client.send("r", number, changed(number)) for number in range(500)]
    journal.close()
    assert [answer.get_nowait() for answer in waiting] == [None] * 500
    with pytest.raises(OrchestratorClosed):
        client.send("r", 500, changed(1))
    with pytest.raises(OrchestratorClosed):
        journal.events("r")
    with pytest.raises(OrchestratorClosed):
        journal.run("r")


def test_closing_twice_is_closing_once(journal: Journal) -> None:
    journal.close()
    journal.close()


def test_closing_ends_the_writers_thread(journal: Journal) -> None:
    writers = [thread for thread in threading.enumerate() if thread.name == "greenroom-journal"]
    assert writers
    journal.close()
    assert not any(thread.is_alive() for thread in writers)


def test_many_threads_append_and_read_at_once(journal: Journal) -> None:
    faults: list[object] = []

    def work(run_id: str) -> None:
        client = Client(journal)
        for number in range(30):
            faults.extend(filter(None, [client.append(run_id, number, changed(number))]))
            if seqs(journal.events(run_id)) != list(range(1, number + 2)):
                faults.append((run_id, number))

    threads = [threading.Thread(target=work, args=(f"r{number}",)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert faults == []
    assert journal.verify() == []


def test_a_new_journal_is_in_its_first_epoch(journal: Journal) -> None:
    assert journal.epoch == 1


def test_after_a_failure_every_append_gets_the_same_error_and_the_store_is_left_alone() -> None:
    calls: list[int] = []

    def commit(group: Sequence[Append]) -> Sequence[None]:
        calls.append(len(group))
        if len(calls) == 2:
            msg = "the disk is gone"
            raise ValueError(msg)
        return [None] * len(group)

    group = GroupCommit(commit, lambda _load: False, "test")
    answers: list[JournalError | None] = []
    arrived = threading.Semaphore(0)

    def done(error: JournalError | None) -> None:
        answers.append(error)
        arrived.release()

    for _ in range(4):
        group.append(Append("r", 0, (), row("r"), done=done))
        assert arrived.acquire(timeout=WAIT)
    group.close()
    assert calls == [1, 1]
    assert [answer is None for answer in answers] == [True, False, False, False]
    assert "the disk is gone" in str(answers[1])
    assert str(answers[3]) == str(answers[1])
