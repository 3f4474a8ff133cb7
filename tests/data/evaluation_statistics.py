"""Compute ``evaluation_statistics.json`` with scipy, statsmodels and krippendorff. No test runs this.

Made in a virtual environment of its own, as these libraries are large and nothing else here needs them:

    uv venv stats && uv pip install --python stats/bin/python scipy statsmodels krippendorff
    stats/bin/python tests/data/evaluation_statistics.py > tests/data/evaluation_statistics.json
"""

# mypy: ignore-errors

import json
import random
import sys
from importlib.metadata import version

import krippendorff
import numpy as np
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

chance = random.Random(20)


def wilson(passed, count, confidence):
    one = proportion_confint(passed, count, alpha=1 - confidence, method="wilson")
    two = binomtest(passed, count).proportion_ci(confidence_level=confidence, method="wilson")
    return {
        "arguments": [passed, count, confidence],
        "statsmodels": [float(each) for each in one],
        "scipy": [float(two.low), float(two.high)],
    }


def newcombe(passed, count, earlier_passed, earlier_count, confidence):
    found = confint_proportions_2indep(
        passed, count, earlier_passed, earlier_count, method="newcomb", compare="diff", alpha=1 - confidence
    )
    arguments = [passed, count, earlier_passed, earlier_count, confidence]
    return {"arguments": arguments, "statsmodels": [float(each) for each in found]}


def exact(gained, lost):
    one = float(mcnemar([[5, gained], [lost, 7]], exact=True).pvalue)
    two = float(binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0
    return {"arguments": [gained, lost], "statsmodels": one, "scipy": two}


def ratings(units, judges, missing, values):
    """Make judgements that mostly agree; some are missing."""
    table = []
    for _ in range(units):
        true = chance.choice(values)
        row = [true if chance.random() < 0.7 else chance.choice(values) for _ in range(judges)]
        table.append([None if chance.random() < missing else each for each in row])
    return table


def alpha(table):
    data = np.array([[np.nan if each is None else each for each in row] for row in table], dtype=float).T
    levels = ("nominal", "interval")
    return {"units": table, **{each: float(krippendorff.alpha(data, level_of_measurement=each)) for each in levels}}


def main():
    counts = [(0, 1), (1, 1), (0, 10), (9, 10), (10, 10), (1, 3), (50, 100), (997, 1000), (1, 100000)]
    trials = [*counts, *((chance.randint(0, n), n) for n in (chance.randint(1, 500) for _ in range(20)))]
    tables = [
        [[1, 1], [0, 0], [1, 0], [0, None], [1, 1]],
        *(ratings(chance.randint(5, 40), chance.randint(2, 6), 0.2, [0, 1]) for _ in range(10)),
        *(ratings(chance.randint(5, 40), chance.randint(2, 6), 0.2, [n / 20 for n in range(21)]) for _ in range(10)),
    ]
    libraries = {name: version(name) for name in ("scipy", "statsmodels", "krippendorff", "numpy")}
    pairs = [(0, 0), (1, 9), (9, 1), (5, 5), (0, 6), (30, 12), (400, 350)]
    document = {
        "note": "made by evaluation_statistics.py, which shows the calls",
        "libraries": {"python": sys.version.split()[0], **libraries},
        "wilson": [wilson(*each, confidence) for each in trials for confidence in (0.9, 0.95, 0.99)],
        "newcombe": [
            newcombe(*first, *second, 0.95) for first, second in zip(trials, [*trials[5:], *trials[:5]], strict=True)
        ],
        "mcnemar": [exact(*each) for each in pairs],
        "alpha": [alpha(table) for table in tables],
    }
    json.dump(document, sys.stdout, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
