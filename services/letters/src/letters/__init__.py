"""Dead letters over HTTP, for operators."""
