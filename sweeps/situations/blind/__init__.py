"""Faults and controls that keep the other two halves honest: written by somebody who had not seen the rules.

Whoever changes a rule after a look at one of them, or at what is said of it, moves it to `faults` or
`controls`, where it becomes a situation like any other.
"""
