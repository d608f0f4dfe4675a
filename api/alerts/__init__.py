"""What people and their systems are told of limits, and every other mail: an outbox that loses nothing."""
