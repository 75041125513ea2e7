"""From which level on a product is ordered again."""
