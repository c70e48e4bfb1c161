"""The ledger: the status of each revision, every attempt, and the log of each build."""
