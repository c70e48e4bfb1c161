"""Routines and their kin: what a database holds, what the project's files say of it."""
