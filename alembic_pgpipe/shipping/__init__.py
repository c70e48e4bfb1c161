"""Working copies tried on the rehearsal, and shipped as revisions."""
