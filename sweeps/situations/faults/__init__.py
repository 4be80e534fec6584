"""Trainings with one thing wrong, each beside its clean twin."""
