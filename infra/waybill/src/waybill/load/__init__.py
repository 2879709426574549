"""Load: orders at a rate that does not wait for answers."""
