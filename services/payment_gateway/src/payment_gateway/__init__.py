"""A stand-in for a payment provider, with a ledger of its own."""
