"""Routines and their kin: what a database holds, and what the project makes of it."""
