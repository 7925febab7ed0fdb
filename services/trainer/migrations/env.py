"""Alembic's entry: migrates the tables of services/trainer/models.py."""

from services.common.database import run_migrations
from services.trainer.models import Base

run_migrations(Base.metadata)
