"""The tests of the package `models`."""
