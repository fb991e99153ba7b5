"""Find the newest jobs of a unit without sorting all of them."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade():
    op.create_index("ix_job_unit", "job", ["unit"])


def downgrade():
    op.drop_index("ix_job_unit", "job")
