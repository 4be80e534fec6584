"""What a plugin author needs to test a diagnostic; without it every plugin would rewrite the house rules.

from torchvitals.testing import check_diagnostic

def test_my_diagnostic_keeps_the_rules():
    check_diagnostic(MyDiagnostic)
"""

from torchvitals.testing.conformance import BrokenRule, check_diagnostic
from torchvitals.testing.windows import hostile_windows, look, quiet_windows, table

__all__ = ["BrokenRule", "check_diagnostic", "hostile_windows", "look", "quiet_windows", "table"]
