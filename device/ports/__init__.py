"""One module per platform. Each has a class Port with the same interface; the core knows nothing else of a board."""
