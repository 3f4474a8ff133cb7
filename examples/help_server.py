"""An MCP server with the articles of a help desk. `support_agent.py` starts it; see there what to install."""

from mcp.server import MCPServer
from mcp.types import ToolAnnotations

ARTICLES = {
    "broken": "Broken goods are replaced, or paid back within 30 days. A photograph helps.",
    "late": "Parcels take two days, and a week before holidays.",
    "address": "An address can be changed until the parcel has left.",
}

server = MCPServer("help")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def search_help(question: str) -> str:
    """Search the articles of the help desk for a question."""
    words = question.lower()
    found = [text for word, text in ARTICLES.items() if word in words]
    return " ".join(found) or "There is no article about this."


if __name__ == "__main__":
    server.run()
