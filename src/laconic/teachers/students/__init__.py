"""Networks that are made smaller layer by layer, by what a policy says."""
