"""An orchestrator in a memory control group of its own: there a tool is killed by the kernel, and then one by a person.

Arguments: the group's folder, the home, a folder for what the tools note, and how many MiB are too much. Prints the
attempts of both runs, and how many processes the kernel says that it has killed.
"""

import json
import os
import signal
import sys
from pathlib import Path

from greenroom import Orchestrator, Pool, Run
from greenroom.supervision.kernel import linux
from tests.acceptance.apps.limits import hungry
from tests.support import eventually


def main(group: str, home: str, folder: str, megabytes: str) -> None:
    Path(group, "cgroup.procs").write_text(str(os.getpid()))
    with Orchestrator(home=home, pools={"tool": Pool(size=2)}) as orchestrator:
        patient = orchestrator.start(hungry.lingering, folder)
        lingers = Path(folder, "lingers")
        pid = int(eventually(lambda: lingers.exists() and lingers.read_text(), 30, what="the tool that lingers"))
        greedy = orchestrator.start(hungry.devouring, folder, int(megabytes))
        assert greedy.result(60) == 0
        os.kill(pid, signal.SIGKILL)  # by nobody that the orchestrator knows of, after the kernel has killed another
        assert patient.result(60) == "recovered"
        print(json.dumps({"greedy": attempts(greedy), "patient": attempts(patient), "kills": linux.oom_kills()}))


def attempts(run: Run) -> list[dict[str, object]]:
    (step,) = run.steps()
    return [attempt.model_dump(mode="json") for attempt in step.attempts]


if __name__ == "__main__":
    main(*sys.argv[1:])
