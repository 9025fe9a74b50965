"""pgx: find which objectives belong together, train one policy per group, serve the right one."""

__version__ = "0.1.0"
