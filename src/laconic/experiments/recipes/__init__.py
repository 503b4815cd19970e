"""Published experiments as data: each recipe runs one again, and says which of its claims hold.

To add one, write a `Recipe` and list it in `RECIPES`. Its `run` takes what is slow through `Context.cache`, so that an
interrupted run goes on, and returns an `Outcome`: a record, a page, and figures.
"""

from laconic.experiments.recipes.cache import Cache
from laconic.experiments.recipes.index import RECIPES, recipe, reproduce
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe

__all__ = ["RECIPES", "Cache", "Context", "Outcome", "Recipe", "recipe", "reproduce"]
