"""Make revision and instance the primary key of a change; store answers in the order in which they come."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade():
    op.drop_index("ix_change_revision", "change")
    _remake_change(sa.PrimaryKeyConstraint("revision", "instance_id", name="pk_change"), sqlite_with_rowid=False)
    _remake_request(order="at")


def downgrade():
    _remake_request(order="key", sqlite_with_rowid=False)
    _remake_change(sa.Column("id", sa.Integer(), nullable=False), sa.PrimaryKeyConstraint("id", name="pk_change"))
    op.create_index("ix_change_revision", "change", ["revision"])


def _remake_change(*key, **kind):
    columns = [
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("instance_id", sa.Integer(), nullable=False),
        sa.Column("first_revision", sa.Integer(), nullable=False),
        sa.Column("before_document", sa.Integer(), nullable=True),
        sa.Column("after_document", sa.Integer(), nullable=True),
        sa.Column("checksum", sa.Integer(), server_default="0", nullable=False),
    ]
    op.drop_index("ix_change_instance_id_revision", "change")
    reference = sa.ForeignKeyConstraint(["revision"], ["changeset.revision"], name="fk_change_revision")
    _remake("change", columns, "revision, instance_id", reference, *key, **kind)
    op.create_index("ix_change_instance_id_revision", "change", ["instance_id", "revision"])


def _remake_request(order, **kind):
    columns = [
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=True),
        sa.Column("checksum", sa.Integer(), server_default="0", nullable=False),
    ]
    _remake("request", columns, order, sa.PrimaryKeyConstraint("key", name="pk_request"), **kind)


def _remake(table, columns, order, *others, **kind):
    kept = ", ".join(column.name for column in columns)
    op.rename_table(table, "before")
    op.create_table(table, *columns, *others, **kind)
    op.execute(f"INSERT INTO {table} ({kept}) SELECT {kept} FROM before ORDER BY {order}")  # noqa: S608 (our own names)
    op.drop_table("before")
