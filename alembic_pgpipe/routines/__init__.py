"""Working copies that people edit, and their snapshots among the sources."""
