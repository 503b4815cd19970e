"""Networks that are smaller where they run."""
