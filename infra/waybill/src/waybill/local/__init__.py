"""The stack without Docker: real Kafka, PostgreSQL, registry and the services, as processes of one supervisor."""
