"""What the feedback loop keeps: pixels' hashes, unfinished promotions, the challenger's answers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("prediction", sa.Column("pixel_sha256", sa.String(), nullable=True))
    op.create_index("ix_prediction_pixel_sha256", "prediction", ["pixel_sha256"], unique=False)
    op.add_column("retraining", sa.Column("champion_before", sa.String(), nullable=True))
    op.add_column("retraining", sa.Column("is_settled", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.create_table(
        "shadow_answer",
        sa.Column("prediction_id", sa.Uuid(), nullable=False),
        sa.Column("model_version", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("predicted_class", sa.String(), nullable=False),
        sa.Column("probabilities", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint(
            "predicted_class IN ('glioma', 'meningioma', 'notumor', 'pituitary')",
            name=op.f("ck_shadow_answer_known_class"),
        ),
        sa.ForeignKeyConstraint(
            ["prediction_id"], ["prediction.id"], name=op.f("fk_shadow_answer_prediction_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("prediction_id", "model_version", name=op.f("pk_shadow_answer")),
    )


def downgrade() -> None:
    op.drop_table("shadow_answer")
    op.drop_column("retraining", "is_settled")
    op.drop_column("retraining", "champion_before")
    op.drop_index("ix_prediction_pixel_sha256", table_name="prediction")
    op.drop_column("prediction", "pixel_sha256")
