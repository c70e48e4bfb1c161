"""Text to meaning: reading sources, their directives and their statements."""
