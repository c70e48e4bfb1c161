"""Send a text to the server as psql would, and hear what it says."""
