"""Objects that people edit in place, routines and their kin: what a database holds of them."""
