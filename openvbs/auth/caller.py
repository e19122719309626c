"""Who calls."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An authenticated caller that acts as one project."""

    project_id: str
    """The project it acts as: the token's, or for an admin on /v1 and /v2 the one in the path."""
    token_project_id: str
    user_id: str
    roles: frozenset[str]
    is_admin: bool
    request_id: str
    sees_all: bool = False
    """True on /v3 for an admin, who reads and deletes any project's backups by id."""
    source_address: str | None = None

    @property
    def as_admin(self) -> bool:
        """True when an admin acts as a project that is not its own."""
        return self.is_admin and self.project_id != self.token_project_id

    @property
    def as_party(self) -> "Caller":
        """The caller with no other right to a backup than its project has as the owner or a recipient."""
        return replace(self, sees_all=False)
