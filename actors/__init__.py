"""The inside of worker processes, and what an app defines for them to run.

``worker`` is the process, ``program`` a workflow while it runs, ``app`` the user's app as it is loaded,
``definitions`` what the app defines, and ``api`` what workflow and step code calls. ``failures``, ``models`` and
``values`` translate exceptions, prompts and values.
"""
