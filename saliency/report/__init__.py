"""The page of a run: one file that opens from disk and shows every clip with its maps."""

from saliency.report.page import PAGE, write_report

__all__ = ["PAGE", "write_report"]
