"""The audit: what the invariants say about a stack, by a reading of its own."""

from waybill.audit.report import Line, Offence, Report, render
from waybill.audit.run import audit
from waybill.audit.shop import Answer

__all__ = ["Answer", "Line", "Offence", "Report", "audit", "render"]
