"""Workflows that ask people, by themselves and because evaluators rejected a result."""

from pathlib import Path

from pydantic import BaseModel

from greenroom import LLM, MockModel, Score, StepRejected, approve, evaluator, workflow
from tests.acceptance.apps.steering.running import note


class Brief(BaseModel):
    title: str
    bullets: list[str]


@evaluator
def short(brief: Brief) -> Score:
    return Score(1.0 if len(brief.bullets) <= 1 else 0.2, reason="one bullet at most")


LONG = Brief(title="Otters", bullets=["They swim.", "They eat."])

careful = LLM("careful", output=Brief, accept=[short], on_reject="escalate", model=MockModel(replies=[LONG] * 5))


@workflow
async def release(version: str, log: str) -> str:
    await note(log, f"build {version}")
    approval = await approve(f"release {version}", {"version": version, "to": "prod"})
    assert isinstance(approval.args, dict)
    if approval.decision == "reject":
        return f"not released: {approval.comment}"
    await note(log, f"release {approval.args['version']} to {approval.args['to']}")
    return f"released to {approval.args['to']}, said {approval.by}"


@workflow
async def impatient(patience: float = 0.2) -> str:
    try:
        await approve("be quick", timeout=patience)
    except TimeoutError:
        late = await approve("then later")
        return f"gave up, then {late.decision}"
    return "in time"


@workflow
async def parent(version: str, log: str) -> str:
    return f"child: {await release(version, log)}"


@workflow
async def brief(folder: str) -> str:
    try:
        written = await careful("Write a brief on otters.")
    except StepRejected as error:
        return f"refused: {error}"
    await note(str(Path(folder, "log")), written.title)
    return ", ".join(written.bullets)
