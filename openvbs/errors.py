"""The root of our errors. Each error lives beside the code that raises it and says who must act.

OpenVbsError
  StoreError      stores/base.py     the medium behind a store failed or refused
  SourceError     sources/base.py    a volume could not be read or written
  EngineError     engine/errors.py   the repository is damaged, missing, locked or given a wrong key
  RuleError       domain/errors.py   the request is understood but not allowed; rendered to the caller
  ConfigError     config.py          the operator must change a setting
  Unavailable     here               what the service stands on cannot be reached; nothing changed, try later
"""


class OpenVbsError(Exception):
    """Something that we foresaw. Its text is for people and says what to do."""


class Unavailable(OpenVbsError):
    """Database, identity service or the like did not answer. Nothing changed; the same request may be sent again."""
