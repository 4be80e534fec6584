"""Without this file two folders could not hold a module of one name."""
