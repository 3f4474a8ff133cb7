"""The execution of a workflow's coroutine: its loop, its tasks, and the comparison with its journal."""
