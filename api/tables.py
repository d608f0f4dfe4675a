"""Every table of the control plane, imported in one place so that migrations and tests see them all."""

from sqlalchemy import MetaData

from api.alerts import rows as alerts
from api.api_keys import rows as api_keys
from api.db import Base
from api.exports import rows as exports
from api.invites import rows as invites
from api.limits import rows as limits
from api.organisations import rows as organisations
from api.policies import rows as policies
from api.pricing import rows as pricing
from api.users import rows as users
from api.workspaces import rows as workspaces

ROWS = (organisations, users, workspaces, api_keys, invites, pricing, exports, limits, alerts, policies)

METADATA: MetaData = Base.metadata
