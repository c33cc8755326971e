"""`evalsvc demo`: invented traffic through the whole embedded path, with estimates next to the planted truth."""
