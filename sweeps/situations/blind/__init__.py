"""The test split: faults and controls written by somebody who had not seen the rules, to keep them honest.

Whoever changes a rule after a look at one of them, or at what is said of it, moves it to `faults` or
`controls`, where it becomes one of the split `tune`, and has a new one written blind.
"""
