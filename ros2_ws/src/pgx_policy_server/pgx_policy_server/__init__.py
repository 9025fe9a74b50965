"""The ROS side of `pgx_core.serving`: a lifecycle node and its watchdog."""
