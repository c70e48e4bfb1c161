"""What a project makes of its objects: working copies, and how changes of them are shipped."""
