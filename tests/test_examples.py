"""Every example runs as its reader would run it: as a script, and through the command line."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.actors.models.provider_server import ProviderServer, call, chunk, stream
from tests.support import ROOT

EXAMPLES = ROOT / "examples"

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("home"), pytest.mark.timeout(120)]


def run(*command: str, cwd: Path) -> str:
    """Run a Python command in ``cwd`` and return its stdout. If it fails, fail with its output."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def script(name: str, *arguments: str, cwd: Path) -> str:
    return run(str(EXAMPLES / name), *arguments, cwd=cwd)


def greenroom(*arguments: str, cwd: Path) -> str:
    return run("-m", "greenroom", *arguments, cwd=cwd)


def test_the_brief_is_grounded_in_its_document_after_rejections_and_malformed_answers(tmp_path):
    told = script("brief.py", cwd=tmp_path)
    assert "rejected" in told
    assert "invalid" in told
    assert "not in the text" in told
    assert "bullets, every one grounded, in brief.md" in told
    source = " ".join((EXAMPLES / "understudies.txt").read_text(encoding="utf-8").split())
    bullets = re.findall(r"^- (.+)$", (tmp_path / "brief.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(bullets) == 12
    assert [bullet for bullet in bullets if bullet not in source] == []


def test_the_brief_takes_another_document_from_the_command_line(tmp_path):
    document = tmp_path / "ferry.txt"
    document.write_text("The Ferry\n\nThe ferry crosses the sound nine times a day. It carries forty cars.\n")
    printed = greenroom("run", f"{EXAMPLES}/brief.py:brief", "-i", f"path={document}", "-i", "out=b.md", cwd=tmp_path)
    assert json.loads(printed)["bullets"]["The Ferry"]
    assert (tmp_path / "b.md").read_text().startswith("# Brief: The Ferry\n")


def test_a_missing_document_fails_the_run_by_its_name(tmp_path):
    with pytest.raises(AssertionError, match=r"No such file or directory: 'nowhere\.txt'"):
        greenroom("run", f"{EXAMPLES}/brief.py:brief", "-i", "path=nowhere.txt", cwd=tmp_path)


def test_the_evaluated_example_is_judged_in_every_trial(tmp_path):
    target, given = f"{EXAMPLES}/evaluated.py:reply", f"{EXAMPLES}/evaluated.jsonl"
    judges = ("--judge", "panel", "--judge", "looked_up")
    printed = greenroom("eval", target, "--cases", given, "--repeat", "2", *judges, "-o", "json", cwd=tmp_path)
    report = json.loads(printed)
    assert (report["cases"], report["scored"]) == (2, 4)
    assert [each["name"] for each in report["evaluators"]] == ["panel", "calls find_order"]
    assert report["evaluators"][1]["mean"] == 1.0


def test_a_segmentation_fault_costs_one_attempt_of_one_step(tmp_path):
    result, *steps = script("crashing.py", cwd=tmp_path).splitlines()
    assert result == "[0, 1, 4, 9, 16, 25, 36, 49]"
    assert len(steps) == 8
    (crashed,) = [line for line in steps if "SIGSEGV" in line]
    assert re.fullmatch(r"5/fragile_square#1 +pid \d+ the worker was killed by SIGSEGV, then pid \d+ ok", crashed)
    healthy = [line for line in steps if line != crashed]
    assert all(re.fullmatch(r"\d/square#1 +pid \d+ ok", line) for line in healthy), healthy


def test_the_crashing_example_runs_from_the_command_line(tmp_path):
    printed = greenroom("run", f"{EXAMPLES}/crashing.py:squares", "-i", "count=3", cwd=tmp_path)
    assert json.loads(printed) == [0, 1, 4]


def test_a_search_without_end_is_ended_by_its_timeout_and_the_others_do_not_wait(tmp_path):
    result, *steps = script("hanging.py", cwd=tmp_path).splitlines()
    assert result == "['yes', 'gave up: timeout 2 times', 'no', 'yes']"
    (hanging,) = [line for line in steps if "timeout" in line]
    assert re.fullmatch(r"2/matches#1 +failed +pid \d+ timeout, then pid \d+ timeout", hanging)
    assert sum("completed" in line and line.endswith(" ok") for line in steps) == 3


def test_the_hanging_example_runs_from_the_command_line(tmp_path):
    texts = json.dumps({"texts": ["aaaa", "aaab"]})
    printed = greenroom("run", f"{EXAMPLES}/hanging.py:check", "--input", texts, cwd=tmp_path)
    assert json.loads(printed) == ["yes", "no"]


def test_a_plain_script_finds_its_finished_run_the_second_time(tmp_path):
    first = script("embedded.py", cwd=tmp_path).splitlines()
    second = script("embedded.py", cwd=tmp_path).splitlines()
    assert first[0].startswith("Hello, Ada! This is process ")
    assert first[:2] == second[:2]
    assert re.fullmatch(r"The script itself is process \d+; run first-day has 2 steps\.", second[2])
    assert first[2] != second[2]
    assert re.findall(r"\d+", first[0]) != re.findall(r"\d+", first[2])[:1]


def test_the_embedded_example_runs_from_the_command_line(tmp_path):
    printed = greenroom("run", f"{EXAMPLES}/embedded.py:welcome", "--input", '{"names": ["Ada"]}', cwd=tmp_path)
    assert json.loads(printed)[0].startswith("Hello, Ada! This is process ")
    assert not (tmp_path / "embedded.db").exists()


def test_every_example_is_tested():
    text = Path(__file__).read_text(encoding="utf-8")
    elsewhere = {
        "evaluated.py",  # by its command, above
        "help_server.py",  # started by support_agent.py
        "pydantic_agent.py",  # tests/integrations/test_pydantic_example.py
    }
    names = {path.name for path in EXAMPLES.glob("*.py")}
    assert elsewhere <= names
    assert [name for name in sorted(names - elsewhere) if f'script("{name}"' not in text] == []


def test_the_chat_remembers_from_one_start_to_the_next_and_answers_on_the_command_line(tmp_path):
    assert script("chat.py", "ada", "about otters", cwd=tmp_path).startswith("turn 1: ")
    second = script("chat.py", "ada", "about rivers", cwd=tmp_path)
    assert second.startswith("turn 2: ")
    assert second.endswith("topics so far: about, otters, rivers\n")
    asked = ("sessions", "ask", f"{EXAMPLES}/chat.py:chat", "ada")
    assert json.loads(greenroom(*asked, '{"text": "more"}', cwd=tmp_path))["turn"] == 3
    assert json.loads(greenroom(*asked, '{"forget": true}', cwd=tmp_path))["topics"] == []
    assert "about otters" in greenroom("sessions", "show", "chat", "ada", cwd=tmp_path)


SUPPORT = (
    "agent `agent` calls refund for {'order': 'A-17'}: approved",
    "ada: My order A-17 arrived broken. Please refund it.",
    "ada: Do you have help on late parcels?",
)


def test_the_support_agent_refunds_once_with_approval(tmp_path):
    printed = script("support_agent.py", cwd=tmp_path).splitlines()
    assert [line for line in printed if not line.startswith("agent: ")] == [*SUPPORT, "2 answers"]
    assert "30.00 dollars for order A-17 are on their way." in printed[2]
    assert printed[4] == "agent: Parcels take two days, and a week before holidays."
    (paid,) = (tmp_path / "refunds.log").read_text(encoding="utf-8").splitlines()
    assert paid.endswith(" A-17 30.00")


def test_the_support_agent_works_with_a_provider(tmp_path, monkeypatch):
    """The same script, with a model behind HTTP that asks for one tool after another."""

    async def answer(writer, request) -> None:
        messages = request.body["messages"]
        tools = {tool["function"]["name"] for tool in request.body.get("tools", ())}
        if "give_final_answer" in tools and not tools - {"give_final_answer"}:  # the judge
            told = [chunk(call("give_final_answer", '{"value": 0.9, "reason": "polite"}')), chunk(finish="tool_calls")]
        elif messages[-1]["role"] == "tool":
            step = len([each for each in messages if each["role"] == "tool"])
            paying = step == 1 and "A-17" in messages[-1]["content"]
            told = (
                [chunk(call("refund", '{"order": "A-17"}', "second")), chunk(finish="tool_calls")]
                if paying
                else [chunk({"content": f"Well: {messages[-1]['content']}"}), chunk(finish="stop")]
            )
        else:
            name, arguments = ("find_order", '{"number": "A-17"}')
            if "parcels" in messages[-1]["content"]:
                name, arguments = ("search_help", '{"question": "late parcels"}')
            told = [chunk(call(name, arguments, "first")), chunk(finish="tool_calls")]
        await stream(*told, "[DONE]")(writer, request)

    with ProviderServer() as server:
        server.behaviours["support-model"] = answer
        monkeypatch.setenv("GREENROOM_MODEL", "openai-chat:support-model")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        printed = script("support_agent.py", cwd=tmp_path).splitlines()
    assert printed[2] == "agent: Well: 30.00 dollars for order A-17 are on their way."
    assert printed[4] == "agent: Well: Parcels take two days, and a week before holidays."
    assert len((tmp_path / "refunds.log").read_text(encoding="utf-8").splitlines()) == 1
