"""Add the random key under which the IDs of documents with secrets are made."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "content_key",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("checksum", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("key", name="pk_content_key"),
        sqlite_with_rowid=False,
    )


def downgrade():
    op.drop_table("content_key")
