"""The audit: what the invariants say about a stack, by a reading of its own."""

from waybill.audit.report import Line, Offence, Report, render
from waybill.audit.run import audit
from waybill.audit.shop import Answer
from waybill.audit.watch import Watch

__all__ = ["Answer", "Line", "Offence", "Report", "Watch", "audit", "render"]
