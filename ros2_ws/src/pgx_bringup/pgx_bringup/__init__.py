"""Starting everything: launch files on a ROS installation, `pgx up` without one."""
