"""Keeping this process from being looked into by others of the same user, while an orchestrator is open in it.

The process holds keys that only some of its workers may see. A tool runs as the same user and could read them from
``/proc``. The kernel refuses that for a process that is not dumpable, except to root. It also refuses debuggers that
attach from outside, and writes no core dump.
"""

from typing import Final

from greenroom.supervision.kernel import linux
from greenroom.supervision.kernel.process_settings import ProcessSetting

CONCEALMENT: Final = ProcessSetting(linux.is_dumpable, linux.set_dumpable, lambda _dumpable: False)
"""The flag of the process that says whether it is dumpable."""
