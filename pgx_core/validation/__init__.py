"""The truth about a run's estimate: what it predicted against what real training does."""
