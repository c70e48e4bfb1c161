"""Sources outside a transaction: statement by statement, and on where a try broke off."""
