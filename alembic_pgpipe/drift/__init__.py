"""Drift: how a database differs from what the project's revisions make of it."""
