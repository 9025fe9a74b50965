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


def require(condition: bool, setting: str, expected: str, came: object) -> None:
    """Check one setting; for the `__post_init__` of a config.

    Raises:
        ConfigError: the condition does not hold. A comparison with NaN never does.
    """
    if not condition:
        raise ConfigError(f"{setting}: expected {expected}, got {came}")


def require_seed(seed: int, setting: str) -> None:
    """Check a seed: 31 bits, since two are added at times and the narrowest generator in use takes 32.

    Raises:
        ConfigError: it is out of range.
    """
    require(0 <= seed < 2**31, setting, "0 to 2147483647", seed)
