"""Codes of our catalogue that the words of other tools stand for, on the generous side."""

NUMERICAL = ("TV203", "TV501", "TV202", "TV104", "TV402", "TV302")
"""numerical error, NaN or Inf anywhere: also what makes numbers run off to infinity"""
EXPLODING = ("TV202", "TV203", "TV104", "TV402", "TV308", "TV302")
VANISHING = ("TV201", "TV204", "TV103", "TV308", "TV301")
DEAD = ("TV101", "TV204", "TV105")
SATURATED = ("TV102", "TV201", "TV502")
STUCK = ("TV403", "TV303", "TV304", "TV305", "TV306", "TV204", "TV402")
"""the loss does not go down, or the accuracy not up"""
DIVERGING = ("TV402", "TV302", "TV202", "TV405")
UNCHANGED = ("TV306", "TV303", "TV304", "TV305", "TV204")
OSCILLATING = ("TV407", "TV302", "TV401")
SPIKE = ("TV401", "TV402", "TV302", "TV407")
SLOW = ("TV403", "TV303")
OVERFIT = ("TV406",)
UNSCALED = ("TV502", "TV501")
CONSTANT_DATA = ("TV501", "TV503", "TV502")
IMBALANCE = ("TV503", "TV403", "TV404", "TV501")
OUT_OF_RANGE = ("TV405", "TV502", "TV102", "TV101")
"""targets that the last activation cannot reach"""
BAD_INIT = ("TV308", "TV301", "TV104", "TV103", "TV404")
RATE_HIGH = ("TV302", "TV402", "TV407")
RATE_LOW = ("TV303", "TV306", "TV403")
FIRST_LOSS = ("TV404", "TV308", "TV405")
