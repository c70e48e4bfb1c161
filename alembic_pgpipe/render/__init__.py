"""Data of the commands → a terminal's table, or JSON."""
