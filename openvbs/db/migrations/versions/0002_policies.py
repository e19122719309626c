"""Create policies with their tags, disks and tasks; backups and audit events name the policy"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "policies",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("start_time", sa.String(length=255), nullable=False),
        sa.Column("every_days", sa.Integer(), nullable=True),
        sa.Column("weekdays", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("keep_number", sa.Integer(), nullable=True),
        sa.Column("keep_days", sa.Integer(), nullable=True),
        sa.Column("keep_first_of_month", sa.Boolean(), nullable=False),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=True),
        sa.Column("next_due_at", sa.DateTime(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policies")),
    )
    with op.batch_alter_table("policies", schema=None) as batch_op:
        batch_op.create_index("ix_policies_due", ["next_due_at"], unique=False)
        batch_op.create_index("ix_policies_page", ["project_id", "created_at", "id"], unique=False)

    op.create_table(
        "policy_resources",
        sa.Column("volume_id", sa.String(length=36), nullable=False),
        sa.Column("policy_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("volume_id", name=op.f("pk_policy_resources")),
    )
    with op.batch_alter_table("policy_resources", schema=None) as batch_op:
        batch_op.create_index("ix_policy_resources_policy", ["policy_id"], unique=False)

    op.create_table(
        "policy_tags",
        sa.Column("policy_id", sa.String(length=36), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("value", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("policy_id", "key", name=op.f("pk_policy_tags")),
    )
    op.create_table(
        "policy_tasks",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("policy_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("volume_id", sa.String(length=36), nullable=False),
        sa.Column("due_at", sa.DateTime(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("backup_name", sa.String(length=64), nullable=False),
        sa.Column("backup_id", sa.String(length=36), nullable=True),
        sa.Column("job_id", sa.String(length=36), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy_tasks")),
        sa.UniqueConstraint(
            "policy_id", "volume_id", "due_at", name=op.f("uq_policy_tasks_policy_id_volume_id_due_at")
        ),
    )
    with op.batch_alter_table("policy_tasks", schema=None) as batch_op:
        batch_op.create_index("ix_policy_tasks_finished", ["finished_at"], unique=False)
        batch_op.create_index(
            "ix_policy_tasks_open",
            ["status"],
            unique=False,
            sqlite_where=sa.text("status = 'WAITING'"),
            postgresql_where=sa.text("status = 'WAITING'"),
        )
        batch_op.create_index("ix_policy_tasks_page", ["policy_id", "created_at", "id"], unique=False)

    with op.batch_alter_table("audit_events", schema=None) as batch_op:
        batch_op.add_column(sa.Column("policy_id", sa.String(length=36), nullable=True))

    with op.batch_alter_table("backups", schema=None) as batch_op:
        batch_op.add_column(sa.Column("policy_id", sa.String(length=36), nullable=True))
        batch_op.create_index(
            "ix_backups_policy",
            ["policy_id"],
            unique=False,
            sqlite_where=sa.text("policy_id IS NOT NULL"),
            postgresql_where=sa.text("policy_id IS NOT NULL"),
        )
