"""What can be asked: columns, dimensions, measures, filters. Pure data, no I/O, no engine."""
