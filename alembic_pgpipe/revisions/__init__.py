"""Revisions: reading those of a project, and writing wrappers for sources."""
