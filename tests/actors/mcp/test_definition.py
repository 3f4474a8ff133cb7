"""Definitions of MCP servers: options that are refused, headers, and what a retry may do."""

import pytest

from greenroom import DefinitionError, Retry, mcp

pytestmark = pytest.mark.usefixtures("fresh")


def test_a_definition_is_a_step_in_a_pool_of_its_own_with_its_limits():
    server = mcp("files", command=["server", "--root", "."], env=["TOKEN"], cwd="/srv", start_timeout=10, timeout=5)
    options = server.definition.options
    assert (server.name, server.definition.name, server.definition.step_kind) == ("files", "mcp:files", "tool")
    assert (options.pool, options.timeout, options.once) == ("mcp:files", 5.0, False)
    assert options.limits is not None
    assert (options.limits.env, options.limits.workdir, options.limits.start_timeout) == (("TOKEN",), "/srv", 15.0)
    assert repr(server) == "<MCP server `files`: server --root .>"
    assert repr(mcp("far", url="https://a.example/mcp")) == "<MCP server `far`: https://a.example/mcp>"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": "a b", "command": ["x"]}, "cannot be called that"),
        ({"name": "", "command": ["x"]}, "cannot be called that"),
        ({"command": []}, r"has the command \[\]"),
        ({"command": ["x", ""]}, "write a list of words"),
        ({"command": ["x"], "start_timeout": 0}, "start_timeout of MCP server `files` is a time above 0 s"),
        ({"command": ["x"], "timeout": -1, "env": ["A=B"]}, r"timeout: .*\n.*env"),
    ],
)
def test_wrong_options_are_named(options, sentence):
    with pytest.raises(DefinitionError, match=f"(?s){sentence}"):
        mcp(**{"name": "files", **options})


def test_headers_have_the_values_of_variables():
    server = mcp("far", url="https://a.example", headers={"Authorization": "Bearer $TOKEN", "X-Price": "5$$"})
    assert server.definition.headers_with({"TOKEN": "abc"}) == {"Authorization": "Bearer abc", "X-Price": "5$"}
    with pytest.raises(DefinitionError, match=r"needs the environment variable TOKEN, .* name it in env=\['TOKEN'\]"):
        server.definition.headers_with({})
    wrong = mcp("wrong", url="https://a.example", headers={"X-Price": "5$"})
    with pytest.raises(
        DefinitionError, match="a header of MCP server `wrong` is not a template: .*write \\$\\$ for a dollar"
    ):
        wrong.definition.headers_with({})


def test_a_retry_policy_is_that_of_the_calls_that_may_be_made_again():
    server = mcp("files", command=["x"], retry=Retry(attempts=7), crash_attempts=2)
    assert server.definition.options.retry.attempts == 7
    assert server.definition.options.crash_attempts == 2
