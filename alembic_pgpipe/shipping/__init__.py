"""Working copies tried on the rehearsal: shipped as revisions, and compared with a database."""
