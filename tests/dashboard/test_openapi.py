"""What /openapi.json says is what is done, also when requests are made from it that nobody thought of."""

import json
import re
from typing import get_args

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from greenroom.dashboard.responses.problems import KINDS
from greenroom.messages.commands import Refused
from greenroom.messages.refusals import REFUSED_AS
from tests.dashboard.conftest import start

pytestmark = pytest.mark.slow

EXAMPLES = 12
"""Requests of each kind to each route."""
OPINIONS = [
    positive_data_acceptance,  # an integer that is written as 20.0 is one to the schema, and none to us
    negative_data_rejection,  # a query that means nothing to us is not looked at; and the token is always sent here
]
"""What is looked at besides answers, and is not for everyone."""


def test_every_route_describes_its_problems_and_needs_the_token(http):
    described = http.get("/openapi.json").json()
    assert described["components"]["securitySchemes"]["token"] == {"type": "http", "scheme": "bearer"}
    for path, methods in described["paths"].items():
        for operation in methods.values():
            assert operation.get("security", described["security"]) == ([] if path == "/healthz" else [{"token": []}])
            assert {"401", "403", "413", "422", "503"} <= set(operation["responses"])
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert list(answer["content"]) == ["application/problem+json"], (path, status)
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(described)))
    assert named <= set(described["components"]["schemas"])


def test_every_reason_to_refuse_a_command_is_a_problem_and_an_error():
    codes = set(get_args(Refused.model_fields["code"].annotation))
    assert codes <= set(KINDS)
    assert codes - set(REFUSED_AS) == {"unavailable"}


# The orchestrator in this process draws random numbers while hypothesis makes its requests, which takes it for its own.
@pytest.mark.filterwarnings("ignore:Do not use the .random. module:hypothesis.errors.HypothesisDeprecationWarning")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_no_request_leads_to_a_5xx_or_outside_of_the_schema(http, orchestrator, server, mode):
    start(orchestrator, "total", "total", a=1).result(30)
    start(orchestrator, "words", "words", count=1000)
    schema = schemathesis.openapi.from_dict(http.get("/openapi.json").json())
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 20
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and not takes_anything(operation):
            continue
        probe(operation, mode, server)


def takes_anything(operation) -> bool:
    return any((operation.path_parameters, operation.query, operation.headers, operation.body))


def probe(operation, mode, server) -> None:
    headers = {"Authorization": f"Bearer {server.token.value}"}

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def validate(case) -> None:
        if "run_id" in case.path_parameters:  # what is not there is soon told; and who looks must not wait for ever
            case.path_parameters["run_id"] = "total" if case.method == "GET" else "words"
        case.call_and_validate(server.url, headers=headers, excluded_checks=OPINIONS, timeout=20)

    validate()
