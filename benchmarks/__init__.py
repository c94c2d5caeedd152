"""Measurements beside what they are compared to; none is a timed test."""
