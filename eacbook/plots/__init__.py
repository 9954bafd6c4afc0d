"""Pictures, charts and figures, made from data."""
