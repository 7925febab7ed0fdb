"""alembic's entry: the deployer's tables."""

from services.common.database import run_migrations
from services.deployer.models import Base

run_migrations(Base.metadata)
