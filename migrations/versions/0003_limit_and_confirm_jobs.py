"""Limit jobs in time, confirm them, undo and repeat them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COLUMNS = ("timeout", "confirm_within", "confirmation", "host_boot", "undoes", "repeats")


def upgrade():
    op.add_column("job", sa.Column("timeout", sa.Float(), nullable=True))
    op.add_column("job", sa.Column("confirm_within", sa.Float(), nullable=True))
    op.execute("""
        ALTER TABLE job ADD COLUMN confirmation TEXT CONSTRAINT ck_job_confirmation
        CHECK (confirmation IN ('waiting', 'confirmed', 'rearmed', 'undoing', 'undone', 'undo_failed'))
    """)
    op.add_column("job", sa.Column("host_boot", sa.Text(), nullable=True))
    op.add_column("job", sa.Column("undoes", sa.Integer(), nullable=True))
    op.add_column("job", sa.Column("repeats", sa.Integer(), nullable=True))
    op.execute("CREATE INDEX ix_job_confirmation ON job (confirmation) WHERE confirmation IS NOT NULL")


def downgrade():
    op.drop_index("ix_job_confirmation")
    for column in COLUMNS:
        op.execute(f"ALTER TABLE job DROP COLUMN {column}")
