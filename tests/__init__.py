"""Without this file two folders could not both hold a `test_errors.py`."""
