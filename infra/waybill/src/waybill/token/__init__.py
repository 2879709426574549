"""Tokens for customers and operators."""

from waybill.token.signing import Signer

__all__ = ["Signer"]
