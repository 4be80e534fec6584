"""Trainings with known truth: faults that a diagnostic must find, and healthy controls that it must leave
alone.
"""
