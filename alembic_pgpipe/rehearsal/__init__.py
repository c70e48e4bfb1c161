"""The rehearsal: a throwaway database, or a copy, in which nothing that is tried stays."""
