"""What stops with a run that begins nothing new until somebody resumes it. Pure."""

from greenroom.workflows.decisions import effects as do
from greenroom.workflows.decisions.decision import Decision


def stop(out: Decision) -> None:
    """Let running attempts end, and begin nothing: attempts that wait for a worker are withdrawn, children paused.

    What the program asked for in this very decision was never given out.
    """
    waiting = (step.key for step in out.state.steps.values() if step.awaits_worker)
    out.now.append(do.EndProgram())
    out.now.extend(do.WithdrawStep(key) for key in waiting if not out.is_new(key))
    out.then.extend(do.PauseChild(k) for k, child in out.state.children.items() if child.open and not out.is_new(k))
