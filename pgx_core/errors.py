"""The errors a user can cause. Each message is one line: what was expected, what came, what to do."""


class PgxError(Exception):
    """Base of every error the command line reports without a traceback."""


class ConfigError(PgxError):
    """A setting is unknown, out of range, or contradicts another."""


class SuiteError(PgxError):
    """A suite, objective, reward function or robot model is unusable."""


class RunError(PgxError):
    """A run folder or a stage result in it is missing, damaged, or cannot be written."""


class BundleError(PgxError):
    """A bundle fails verification, or does not fit the robot."""
