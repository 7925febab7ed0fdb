"""REST resources, one module per noun, each with its models and its routes."""
