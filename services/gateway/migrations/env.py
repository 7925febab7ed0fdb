"""Alembic's entry: migrates the tables of services/gateway/models.py."""

from services.common.database import run_migrations
from services.gateway.models import Base

run_migrations(Base.metadata)
