"""Healthy trainings that look ill to a careless eye."""
