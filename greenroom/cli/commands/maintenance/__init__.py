"""Verbs that look after an installation: check, db, doctor."""
