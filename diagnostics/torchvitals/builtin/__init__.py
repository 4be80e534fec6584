"""One diagnostic per file, each a pure function of a window; registered as entry points like those of
strangers.
"""
