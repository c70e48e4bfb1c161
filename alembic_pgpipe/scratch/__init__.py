"""The scratch server: a throwaway PostgreSQL of the tool's own, found, started and stopped."""
