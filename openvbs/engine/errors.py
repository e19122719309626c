"""What can be wrong with a repository or with a piece of work on it, and who must act."""

from openvbs.errors import OpenVbsError


class EngineError(OpenVbsError):
    """A repository is damaged, missing or given a wrong key, or work on it had to stop."""


class RepositoryMissing(EngineError):
    """No header is in the store; the operator gave a wrong place, or must run init first."""


class UnknownFormat(EngineError):
    """The bytes are of a kind or version that this program does not know; a newer one may."""


class KeyUnusable(EngineError):
    """The root key file is missing, open to others or malformed; the operator must mend it."""


class WrongKey(EngineError):
    """The root key is a good one, but no key of this repository is wrapped with it."""


class BackupMissing(EngineError):
    """The repository holds no backup of this id."""

    def __init__(self, backup_id: str) -> None:
        super().__init__(f"no backup {backup_id} is in this repository")
        self.backup_id = backup_id


class BackupExists(EngineError):
    """Another backup was committed under this id; nothing was changed."""


class Corrupt(EngineError):
    """Stored bytes are not what was written; `check` says which backups need them."""


class BlockDamaged(Corrupt):
    """A block or page is damaged wherever it lies."""

    def __init__(self, message: str, block_id: bytes, packs: frozenset[bytes]) -> None:
        super().__init__(message)
        self.block_id = block_id
        self.packs = packs
        """Where it lies."""


class BlockMissing(EngineError):
    """A block that a backup needs is in no pack that the index names."""

    def __init__(self, block_id: bytes) -> None:
        super().__init__(
            f"block {block_id.hex()} is in no pack that the index names; check says what that affects, repair may help"
        )
        self.block_id = block_id


class LeaseLapsed(EngineError):
    """The store could not be reached for too long to go on safely; start the work again."""


class MustUploadAgain(EngineError):
    """Something that the backup needs has gone since its upload; uploading again makes it good."""
