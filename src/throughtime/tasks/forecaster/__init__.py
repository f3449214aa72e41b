"""Forecasting: what numbers over time will be, with how sure the model is."""
