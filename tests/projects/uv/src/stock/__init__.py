"""What is in stock, counted every night."""
