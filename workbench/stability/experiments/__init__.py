"""Published experiments on large steps, as functions that return results."""
