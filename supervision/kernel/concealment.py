"""Protect this process's memory from other processes of the same user, while an orchestrator is open in it.

The process holds keys that only some of its workers may see. A tool runs as the same user and could read them from
``/proc``. The kernel allows that only to root if a process is not dumpable. It then also refuses debuggers, and writes
no core dump.
"""

from typing import Final

from greenroom.supervision.kernel import linux
from greenroom.supervision.kernel.process_settings import ProcessSetting

CONCEALMENT: Final = ProcessSetting(linux.is_dumpable, linux.set_dumpable, lambda _dumpable: False)
"""Setting of the process's dumpable flag."""
