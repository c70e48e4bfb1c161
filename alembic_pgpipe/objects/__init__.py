"""What a database holds: routines and their kin, which people edit in place, and tables."""
