"""The page at /docs."""


def test_the_page_shows_every_operation_and_sends_what_is_typed(browse, http):
    described = http.get("/openapi.json").json()
    page = browse("/docs")
    page.shows("greenroom", "/api/v1/runs/{run_id}/steps")
    page.unfold_all()
    page.unfold_all()  # the schemas inside of what was folded
    operations = sum(len(methods) for methods in described["paths"].values())
    assert page.count("form") == operations + 1, "one for each, and the one for the token"
    within = ["List the steps of a run"]
    page.type("run_id", "a/b", *within)
    page.type("limit", "2", *within)
    page.click("Send", *within)
    page.shows("GET /api/v1/runs/a%2Fb/steps?limit=2", "404")
    assert page.asked == ["GET /openapi.json", "GET /api/v1/runs/a%2Fb/steps?limit=2"]
    page.type("Find", "dead-letters drop")
    page.hides("/api/v1/runs")
    page.shows("/api/v1/dead-letters/{run_id}/{letter}/drop")
