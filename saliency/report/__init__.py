"""The page of a run: one file that opens from disk and shows every clip with its maps."""

from saliency.report.from_python import explain_to_report
from saliency.report.page import PAGE, write_report

__all__ = ["PAGE", "explain_to_report", "write_report"]
