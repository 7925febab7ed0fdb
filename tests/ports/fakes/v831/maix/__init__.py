"""MaixPy3's `maix`."""
