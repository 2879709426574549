"""The edge to aiokafka: the only package that imports it."""
