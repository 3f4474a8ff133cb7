# Every check of this project. In a checkout: `uv run locked.py just check`.

# Every check, cheapest first.
check: lint types test

# Style, and which package may import which.
lint:
    ruff check .
    ruff format --check .
    lint-imports

# Both type checkers users have.
types:
    mypy
    mypy tests
    pyright

# All tests; arguments are pytest's.
test *arguments:
    pytest {{ arguments }}

# The tests that take no more than moments.
fast *arguments:
    pytest -m "not slow" {{ arguments }}

# Mend what can be mended by machine.
fix:
    ruff check --fix .
    ruff format .

# Resolve the dependencies anew and write uv.lock; arguments are those of `uv lock`.
lock *arguments:
    uv run locked.py --lock {{ arguments }}
