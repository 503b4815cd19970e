"""Which channels of a network go together, which do not depend on the input, and which nobody reads."""
