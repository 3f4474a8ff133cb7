"""The pages for people: the dashboard at ``/`` and the description of the API at ``/docs``."""
