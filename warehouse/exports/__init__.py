"""Rows of requests as files for their owner: which fields, in which format, kept where."""
