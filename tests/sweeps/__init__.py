"""The tests of the package `sweeps`."""
