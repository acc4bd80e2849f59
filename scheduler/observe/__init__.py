"""Subscribers of events and records: metrics, log formatting, the lines on the terminal."""
