"""Reporting: everything there is to say of a fitted model on given rows, as one HTML page."""
