"""Training and measuring policies in simulation: the meta policy, groups, and what they are compared with."""
