"""Vital signs for neural-network training."""
