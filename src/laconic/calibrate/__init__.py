"""Weights rounded for the inputs that they meet: no labels and no training."""
