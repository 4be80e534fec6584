"""Translate a framework's events into the engine's moments; they decide nothing."""
