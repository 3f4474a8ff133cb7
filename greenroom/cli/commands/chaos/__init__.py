"""``greenroom chaos``: real faults while a workload runs, and a check of what must hold afterwards."""
