"""The stack in containers: docker-compose.yml in the project's folder, the same parts as the local stack."""
