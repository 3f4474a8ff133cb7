"""The orchestrator over HTTP: every command and every look, for programs on this machine and pages in a browser.

Safe by default: it listens on the loopback alone, asks everyone for a token, and turns away what a foreign web page has
a browser send. Needs the extra ``server``.
"""
