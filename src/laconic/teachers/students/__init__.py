"""Networks that are made smaller layer by layer, by what a policy says, and taught by the one that they are made of."""
