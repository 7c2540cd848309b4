"""Links that sign in the first administrator, in the table of set-up links.

Revision ID: 0030_sign_in_links
Revises: 0029_uncounted_attempts
Create Date: 2026-11-30
"""

import sqlalchemy as sa
from alembic import op

revision = "0030_sign_in_links"
down_revision = "0029_uncounted_attempts"
branch_labels = None
depends_on = None

PURPOSE = sa.Enum(
    "set_up",
    "sign_in",
    name="link_purpose",
    native_enum=False,
    create_constraint=True,
    length=40,
)


def upgrade() -> None:
    with op.batch_alter_table("setup_links", schema=None) as batch_op:
        batch_op.add_column(sa.Column("purpose", PURPOSE, server_default="set_up", nullable=False))


def downgrade() -> None:
    """Remove the links that sign in, which an earlier release would take for set-up links."""
    op.execute("DELETE FROM setup_links WHERE purpose <> 'set_up'")
    with op.batch_alter_table("setup_links", schema=None) as batch_op:
        batch_op.drop_constraint(op.f("ck_setup_links_link_purpose"), type_="check")
        batch_op.drop_column("purpose")
