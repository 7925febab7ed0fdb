"""What scripts/parameter_pictures draws: data ──► runs (kept as JSON) ──► contents of panels ──► pictures."""
