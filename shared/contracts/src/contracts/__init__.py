"""What the services say to each other: events, topics, users and permissions."""
