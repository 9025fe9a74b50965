"""Plots, pictures of the robot, and one HTML page that says what a run found."""
