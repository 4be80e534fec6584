"""The only rooms that touch tensors: they measure on the device and hand over numbers."""
