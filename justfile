# Every check of this project. In a checkout whose environment is set up: `.venv/bin/just check`.

export PATH := justfile_directory() / ".venv" / "bin" + ":" + env("PATH")

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

# Write requirements.lock anew, keeping locked versions that still fit; raise one with `--upgrade-package NAME`.
lock *arguments:
    uv pip compile --quiet --universal --python-version 3.11 --all-extras --group dev --generate-hashes \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "just lock" \
        --output-file requirements.lock {{ arguments }} pyproject.toml
