"""Where the bytes of a file are, and how far it is from the least it could be. No torch."""
