"""What can be said about a training before it starts.

version ─► counts ─┐
pictures ─► look ──┼─► problems (error, warning, note), each with a fix ─► CheckTraining; StartJob refuses the errors
parameters ────────┘
"""
