"""Watch a statement while it runs: whom it waits for, how far it is, what it holds up."""
