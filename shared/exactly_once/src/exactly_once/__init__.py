"""Exactly-once processing with Kafka and PostgreSQL: the loop, the recovery, the relay."""
