"""One run: what is to be done, each step, and the truth about how it went."""
