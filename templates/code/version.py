"""Orders, what they bring in, and their shares."""
