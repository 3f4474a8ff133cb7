"""The page at /docs."""


def test_the_page_shows_every_operation_and_sends_what_is_typed(browse, http):
    described = http.get("/openapi.json").json()
    page = browse("docs.html")
    page.shows("greenroom", "/api/v1/runs/{run_id}/steps")
    page.do("unfold_all")
    page.do("unfold_all")  # the schemas inside of what was folded
    operations = sum(len(methods) for methods in described["paths"].values())
    assert page.do("count", tag="form") == operations + 1, "one for each, and the one for the token"
    within = ["List the steps of a run"]
    page.do("type", label="run_id", text="a/b", within=within)
    page.do("type", label="limit", text="2", within=within)
    page.do("submit", text="Send", within=within)
    page.shows("GET /api/v1/runs/a%2Fb/steps?limit=2", "404")
    assert page.do("asked") == ["GET /openapi.json", "GET /api/v1/runs/a%2Fb/steps?limit=2"]
    page.do("type", label="filter", text="dead-letters drop")
    page.do("until", text="/api/v1/runs", gone=True)
    page.shows("/api/v1/dead-letters/{run_id}/{letter}/drop")
