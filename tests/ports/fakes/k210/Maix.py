from parts import GPIO  # noqa: F401
