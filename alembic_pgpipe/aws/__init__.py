"""What AWS has of a database: secrets, tokens and hosts, and a sentence where it refuses."""
