"""The conformance kit: the contract of each kind of plugin as named checks, for any test suite.

    from benchkit.testing import assert_conforms

    def test_it_conforms(tmp_path):
        assert_conforms(Mine, pictures=tmp_path)

Importing this package loads no torch; running a check does.
"""

from benchkit.testing.checks import Check, Finding, NotApplicable, Report, Subject, Violation
from benchkit.testing.kit import (
    assert_conforms,
    check_corruptor,
    check_dataset,
    check_detector,
    check_inverter,
    check_selector,
    checks,
    report_on,
)
from benchkit.testing.targets import reports_on

__all__ = [
    "Check",
    "Finding",
    "NotApplicable",
    "Report",
    "Subject",
    "Violation",
    "assert_conforms",
    "check_corruptor",
    "check_dataset",
    "check_detector",
    "check_inverter",
    "check_selector",
    "checks",
    "report_on",
    "reports_on",
]
