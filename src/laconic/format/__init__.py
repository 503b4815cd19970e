"""The `.lac` file: compressed weights as values, numbers to bytes and back, and what holds them. No torch."""
