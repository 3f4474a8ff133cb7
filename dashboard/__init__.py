"""The orchestrator over HTTP: every command and every query, for programs on this machine and pages in a browser.

It listens on the loopback interface unless told otherwise. It asks every caller for a token, and refuses requests that
a browser sends for a page of another origin. Needs the extra ``server``.

``server`` runs it, ``routes`` holds the handlers, and ``access`` decides who may call.
"""
