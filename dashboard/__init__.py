"""The HTTP API of an orchestrator: every command and every query, for programs and for pages in a browser.

Safe by default: the server listens on the loopback interface only, every caller needs a token, and requests from web
pages of other origins are refused. Needs the extra ``server``.
"""
