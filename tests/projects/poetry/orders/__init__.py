"""Orders by day, in one currency."""
