"""Wrong input, wrong places, full disks: a sentence that helps, and nothing lost or half written."""

import dataclasses
import json
import os
import resource
import sqlite3  # noqa: TID251  damage is done, and looked at, with another library than the engine's
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from greenroom import (
    DefinitionError,
    GreenroomError,
    HomeInUse,
    InvalidInput,
    JournalError,
    NotSerializable,
    Orchestrator,
    RunFailed,
    RunNotFound,
    RunParked,
    tool,
    workflow,
)
from greenroom.messages.core.errors import JournalCorrupt, JournalTooNew
from tests.acceptance import harness
from tests.acceptance.apps.steering import running
from tests.acceptance.harness import MARK
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]
APPS = Path(__file__).parent.parent / "apps" / "contract"


# ---------------------------------------------------------------- values


@pytest.mark.parametrize("which", [running.gives_no_json, running.gives_wrong_type])
def test_a_result_that_is_no_json_fails_its_step_at_once(orchestrator, which):
    with pytest.raises(RunFailed, match=r"tool `\w+`") as failed:
        orchestrator.start(which).result(30)
    assert [attempt.outcome for attempt in failed.value.attempts] == ["error"]
    assert "NotSerializable" in failed.value.attempts[0].error


def test_a_workflow_whose_result_is_no_json_fails(orchestrator):
    with pytest.raises(RunFailed, match="NotSerializable.*returns_no_json") as failed:
        orchestrator.start(running.returns_no_json).result(30)
    assert failed.value.step is None


def test_arguments_that_do_not_fit_are_refused_with_every_field_named(orchestrator):
    with pytest.raises(InvalidInput) as refused:
        orchestrator.start(running.two_fields, "many", word=3, flag="perhaps")
    assert {field for field, _ in refused.value.errors} == {"number", "word", "flag"}
    for field in ("number", "word", "flag"):
        assert field in str(refused.value)
    with pytest.raises(InvalidInput, match="word"):
        orchestrator.start(running.two_fields, 3)
    with pytest.raises(InvalidInput, match="colour"):
        orchestrator.start(running.two_fields, 3, "x", colour="red")
    with pytest.raises((InvalidInput, NotSerializable)):
        orchestrator.start(running.two_fields, 3, object())
    assert orchestrator.runs() == []


def test_a_step_called_with_wrong_arguments_raises_in_the_workflow(orchestrator):
    assert "half" in orchestrator.start(running.calls_wrongly).result(30)


def test_arguments_of_an_app_that_only_workers_import_are_checked_there(orchestrator):
    app = str(APPS / "ten_lines.py")
    with pytest.raises(InvalidInput, match="topic"):
        orchestrator.start_app(app, "research", {"subject": "otters"})
    with pytest.raises(RunNotFound, match="research"):
        orchestrator.start_app(app, "reserch", {"topic": "otters"})
    with pytest.raises(GreenroomError, match="nowhere.py"):
        orchestrator.start_app("/nowhere.py", "research", {})
    assert orchestrator.runs() == []
    assert "title" in orchestrator.start_app(app, "research", {"topic": "otters"}).result(30)


def test_an_app_that_cannot_be_imported_is_refused_with_its_own_traceback(orchestrator, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("import greenroom\n\nraise ZeroDivisionError('at import')\n")
    with pytest.raises(GreenroomError, match="ZeroDivisionError: at import") as refused:
        orchestrator.start_app(str(broken), "anything", {})
    assert "line 3" in str(refused.value)
    assert orchestrator.runs() == []


@pytest.mark.parametrize("wrong", ["", "two words", "a/b", "x" * 201, "é"])
def test_an_id_that_could_not_be_a_name_is_refused(orchestrator, wrong):
    with pytest.raises(ValueError, match="run id"):
        orchestrator.start(running.halving, 2, id=wrong)


def test_a_definition_inside_a_function_is_refused_with_the_remedy(orchestrator):
    @workflow
    async def hidden() -> int:
        return 1

    with pytest.raises(DefinitionError, match="inside a function.*top level"):
        orchestrator.start(hidden)

    with pytest.raises(DefinitionError, match="async def"):

        @workflow
        def not_async() -> int:
            return 1

    with pytest.raises(DefinitionError, match="timeout"):

        @tool(timeout=-1)
        def late() -> None: ...


# ---------------------------------------------------------------- places


def test_a_second_orchestrator_on_a_journal_in_use_is_refused(orchestrator, tmp_path, mark):
    with pytest.raises(HomeInUse, match=str(os.getpid())):
        Orchestrator(tmp_path / "runs.db")
    code = (
        f"from greenroom import Orchestrator; Orchestrator({str(tmp_path / 'runs.db')!r}, home={str(tmp_path / 'h')!r})"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert other.returncode != 0
    assert f"pid {os.getpid()}" in other.stderr
    assert orchestrator.start(running.halving, 4).result(30) == 2.0, "the first goes on undisturbed"


def test_a_journal_of_a_newer_version_is_refused_untouched(tmp_path, home, mark):
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as first:
        first.start(running.halving, 4, id="old").result(30)
    database = sqlite3.connect(tmp_path / "runs.db")
    database.execute("PRAGMA user_version = 999")
    database.close()
    before = (tmp_path / "runs.db").read_bytes()
    with pytest.raises(JournalTooNew, match="newer"):
        Orchestrator(tmp_path / "runs.db")
    assert (tmp_path / "runs.db").read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"this is not a database at all, just text\n" * 200, b"SQLite format 3\0" + b"\xff" * 8192]
)
def test_a_file_that_is_no_journal_is_refused_untouched(tmp_path, home, mark, content):
    (tmp_path / "runs.db").write_bytes(content)
    with pytest.raises(JournalError, match=r"runs\.db"):
        Orchestrator(tmp_path / "runs.db")
    assert (tmp_path / "runs.db").read_bytes() == content


def test_a_database_of_something_else_is_refused_untouched(tmp_path, home, mark):
    database = sqlite3.connect(tmp_path / "runs.db")
    database.execute("CREATE TABLE recipes (name TEXT)")
    database.commit()
    database.close()
    with pytest.raises(JournalError, match=r"runs\.db"):
        Orchestrator(tmp_path / "runs.db")
    database = sqlite3.connect(tmp_path / "runs.db")
    assert [name for (name,) in database.execute("SELECT name FROM sqlite_master")] == ["recipes"]
    database.close()


@pytest.mark.parametrize(("which", "look"), [("run.completed", "result"), ("attempt.ended", "steps")])
def test_a_changed_event_is_found_where_it_is_read_and_does_not_stop_other_runs(tmp_path, home, mark, which, look):
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as first:
        first.start(running.halving, 4, id="altered").result(30)
        first.start(running.halving, 8, id="sound").result(30)
    database = sqlite3.connect(tmp_path / "runs.db")
    (body,) = database.execute("SELECT body FROM events WHERE run_id='altered' AND type=?", (which,)).fetchone()
    changed = json.dumps({**json.loads(body), "result": 1000.0}, separators=(",", ":"))
    alter = "UPDATE event_lines SET body = replace(body, ?1, ?2) WHERE run_id='altered' AND instr(body, ?1)"
    assert database.execute(alter, (body, changed)).rowcount == 1
    database.commit()
    database.close()
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as second:
        with pytest.raises(JournalCorrupt, match="altered"):
            getattr(second.get("altered"), look)()
        assert second.get("sound").result(1) == 4.0


APP = """
import threading, time
from pathlib import Path
from greenroom import tool, workflow

{extra}

@tool
def gate(folder: str) -> str:
    Path(folder, "reached").touch()
    while not Path(folder, "gate").exists():
        time.sleep(0.005)
    return "through"

@workflow
async def gated(folder: str) -> str:
    return await gate(folder)
"""


def test_a_run_whose_code_is_gone_waits_for_it_to_come_back(tmp_path, home, mark):
    app = tmp_path / "app.py"
    app.write_text(APP.format(extra=""))
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as first:
        first.start_app(str(app), "gated", {"folder": str(tmp_path)}, id="orphan")
        eventually((tmp_path / "reached").exists)
    (tmp_path / "gate").touch()
    app.rename(tmp_path / "elsewhere.py")
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as second:
        run = second.get("orphan")
        with pytest.raises(RunParked, match=r"app\.py"):
            run.result(30)
        assert second.start(running.halving, 4).result(30) == 2.0, "the others go on"
        (tmp_path / "elsewhere.py").rename(app)
        run.resume()
        assert run.result(30) == "through"


@pytest.mark.parametrize("backend", ["zygote", "spawn"])
def test_an_app_that_starts_threads_runs_with_any_backend(tmp_path, home, mark, backend):
    app = tmp_path / "threaded.py"
    app.write_text(APP.format(extra="threading.Thread(target=time.sleep, args=(600,), daemon=True).start()"))
    (tmp_path / "gate").touch()
    pools = {kind: dataclasses.replace(pool, backend=backend) for kind, pool in harness.pools().items()}
    with Orchestrator(tmp_path / "runs.db", pools=pools) as orchestrator:
        assert orchestrator.start_app(str(app), "gated", {"folder": str(tmp_path)}).result(30) == "through"


@pytest.mark.parametrize("place", ["/proc/nowhere/runs.db", "{tmp}/file/runs.db", "{tmp}"])
def test_a_place_where_nothing_can_be_written_is_named(tmp_path, home, mark, place):
    (tmp_path / "file").write_text("a file stands where a folder would have to")
    where = place.format(tmp=tmp_path)
    with pytest.raises(JournalError, match=where):
        Orchestrator(where)
    with pytest.raises(JournalError, match="nowhere"):
        Orchestrator(home="/proc/nowhere")


@pytest.fixture
def small_disk(tmp_path: Path):
    """Give a disk of its own of 8 MiB and the function that makes it read-only or writable."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a file system is not allowed here; the limit on file size is tested instead")

    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", place], check=True)

    yield place, remount
    subprocess.run(["umount", "-l", place], check=True)  # also where a failed test still holds files there


def test_a_read_only_disk_is_named_and_its_journal_kept(small_disk, home, mark):
    disk, remount = small_disk
    with Orchestrator(disk / "runs.db", pools=harness.pools()) as first:
        first.start(running.halving, 4, id="before").result(30)
    remount("ro")
    with pytest.raises(JournalError, match="runs.db"):
        Orchestrator(disk / "runs.db")
    remount("rw")
    with Orchestrator(disk / "runs.db", pools=harness.pools()) as again:
        assert again.get("before").result(1) == 2.0


def test_a_full_disk_stops_everything_and_loses_nothing_that_was_accepted(small_disk, tmp_path, home, mark):
    disk, _ = small_disk
    accepted: list[str] = []
    done: dict[str, int] = {}
    with Orchestrator(disk / "runs.db", pools=harness.pools()) as orchestrator:
        failure = _fill_up(orchestrator, accepted, done)
        assert "journal" in str(failure)
        with pytest.raises(GreenroomError, match="journal"):
            orchestrator.start(running.halving, 2)
    subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
    with Orchestrator(disk / "runs.db", pools=harness.pools()) as again:
        for run_id in accepted:
            assert again.get(run_id).result(60) == 8 * 200 * 1024
        assert set(done) <= set(accepted)
        assert {run.id for run in again.runs(limit=1000)} >= set(accepted)
    assert harness.broken_invariants(harness.read_journal(disk / "runs.db"), []) == []


def _fill_up(orchestrator, accepted: list[str], done: dict[str, int]) -> GreenroomError:
    """Start runs with large results until the journal takes no more; give what was raised then."""
    for number in range(200):
        try:
            run = orchestrator.start(running.bulky, 200, 8, id=f"bulky-{number}")
            accepted.append(run.id)
            done[run.id] = run.result(30)
        except GreenroomError as error:
            return error
    pytest.fail("the disk never was full")


LIMITED = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.acceptance.apps.steering import running
from greenroom import Orchestrator, GreenroomError

folder = Path({folder!r})
accepted = []
with Orchestrator(folder / "runs.db", home=folder / "home") as orchestrator:
    orchestrator.start(running.halving, 4, id="first").result(30)
    size = (folder / "runs.db").stat().st_size + (folder / "runs.db-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 500_000, resource.RLIM_INFINITY))
    try:
        for number in range(50):
            run = orchestrator.start(running.halving, 2 * number, id=f"run-{{number}}")
            accepted.append(run.id)
            for _ in range(20):
                orchestrator.start(running.two_fields, number, "x" * 20_000)
            run.result(30)
    except GreenroomError as error:
        print("stopped:", error)
print("accepted:", *accepted)
"""


def test_a_file_that_may_not_grow_is_like_a_full_disk(tmp_path, home, mark):
    code = LIMITED.format(root=str(Path(__file__).parents[3]), folder=str(tmp_path))
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=80, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "stopped:" in ended.stdout, ended.stdout
    assert "journal" in ended.stdout
    accepted = ended.stdout.rpartition("accepted:")[2].split()
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    with Orchestrator(tmp_path / "runs.db", pools=harness.pools()) as again:
        for run_id in accepted:
            again.get(run_id).result(60)
    assert os.environ[MARK]
    assert harness.broken_invariants(harness.read_journal(tmp_path / "runs.db"), []) == []
