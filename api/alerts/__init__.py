"""What people and their systems are told: crossings of limits, and every other mail, by an outbox that loses nothing."""
