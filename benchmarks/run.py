"""Measure the costs of greenroom and of bare operations of the machine. ``benchmarks/README.md`` explains the table.

Commands:

    python benchmarks/run.py                       every figure, five rounds each
    python benchmarks/run.py --only step-full --only restart
    python benchmarks/run.py --rounds 1 --json figures.json
"""

import argparse
import compileall
import json
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout need not be installed

import apsw
import floors
from figures import FIGURES, Figure

from greenroom.version import VERSION

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Measure, print the table and write the JSON. Return 0 if every target is met, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=sorted(FIGURES), help="measure this figure; may be repeated")
    parser.add_argument("--rounds", type=int, default=5, help="rounds per figure; the median counts (default 5)")
    parser.add_argument("--directory", type=Path, help="where journals are written; a disk, not a memory file system")
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"), help="where figures are written")
    given = parser.parse_args()
    # As an installer does: with PYTHONDONTWRITEBYTECODE every process would compile the modules again.
    package = ROOT / "greenroom"
    for folder in (package, *(path.resolve() for path in package.iterdir() if path.is_symlink())):
        compileall.compile_dir(folder, quiet=1)
    with tempfile.TemporaryDirectory(dir=given.directory, prefix="greenroom-benchmark-") as directory:
        lines = [line_of(name, FIGURES[name], given.rounds, Path(directory)) for name in given.only or list(FIGURES)]
    show(lines)
    given.json.write_text(
        json.dumps({"machine": machine(), "figures": lines}, indent=2) + "\n",
        encoding="utf-8",
    )
    print(f"\nEvery round stands in {given.json}.")
    return 0 if all(line["met"] for line in lines) else 1


def line_of(name: str, figure: Figure, rounds: int, directory: Path) -> dict[str, Any]:
    """Measure one figure, and the floors before each round, as the machine's speed varies over minutes."""
    found: list[float] = []
    bare: list[floors.Floors] = []
    for number in range(rounds):
        place = directory / f"{name}-{number}"
        place.mkdir()
        bare.append(floors.measure(place))
        found.append(figure.measure(place))
        print(f"{name} {number + 1}/{rounds}: {found[-1]:.3g} {figure.unit}", file=sys.stderr, flush=True)
    bare_medians = floors.medians(bare)
    measured, target, floor = statistics.median(found), figure.target(bare_medians), figure.floor(bare_medians)
    return {
        "name": name,
        "what": figure.name,
        "unit": figure.unit,
        "target": target,
        "measured": measured,
        "floor": floor,
        "floor_is": figure.floor_is,
        "ratio": measured / floor,
        "met": measured <= target if figure.better == "less" else measured >= target,
        "rounds": found,
        "floors": bare_medians.as_dict(),
    }


def show(lines: list[dict[str, Any]]) -> None:
    """Print the table."""
    print(f"{'figure':<72}{'target':>9}{'measured':>10}{'floor':>9}{'ratio':>8}  floor is")
    for line in lines:
        sign = " " if line["met"] else "!"
        what = f"{line['what']} ({line['unit']})" if line["unit"] else str(line["what"])
        print(
            f"{what:<72}{line['target']:>9.3g}{line['measured']:>9.4g}{sign}{line['floor']:>9.3g}{line['ratio']:>8.3g}"
            f"  {line['floor_is']}"
        )
    print("\n`!` marks a target that was missed. The bare operations beside the first and the last figure:")
    for line in (lines[0], lines[-1]):
        print("  " + ", ".join(f"{name} {value:.3g}" for name, value in line["floors"].items()))


def machine() -> dict[str, object]:
    """Return a description of the machine and the versions."""
    return {
        "greenroom": VERSION,
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "load_1min": os.getloadavg()[0],
    }


if __name__ == "__main__":
    sys.exit(main())
