"""``greenroom chaos``: real faults while a workload runs, and then what has to hold."""
