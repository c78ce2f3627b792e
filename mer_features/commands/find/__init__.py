"""The micro- and macro-expressions of own recordings: tables, signals, and a page to look at them."""

from mer_features.commands.find.run import Outcome, find

__all__ = ["Outcome", "find"]
