"""What is done to a stack and its parts, whichever stack it is."""
