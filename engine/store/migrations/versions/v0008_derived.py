"""Memberships, stages and grants of tags: what was seen last, and what changed."""

from alembic import op

revision = "0008"
down_revision = "0007"

CHANGES = """
CREATE TABLE followed (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    filled BOOLEAN NOT NULL,
    since_at TIMESTAMP WITH TIME ZONE NOT NULL,
    as_of TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_followed PRIMARY KEY (kind, name),
    CONSTRAINT ck_followed_kind CHECK (kind IN ('segment', 'stage', 'tag'))
);

CREATE TABLE memberships (
    segment TEXT NOT NULL,
    profile_id UUID NOT NULL,
    since_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_memberships PRIMARY KEY (segment, profile_id)
);

CREATE INDEX ix_memberships_profile_id ON memberships (profile_id);

CREATE TABLE membership_changes (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    segment TEXT NOT NULL,
    profile_id UUID NOT NULL,
    entered BOOLEAN NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    quiet BOOLEAN NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_membership_changes PRIMARY KEY (id)
);

CREATE INDEX ix_membership_changes_segment_at_id ON membership_changes (segment, at, id);

CREATE INDEX ix_membership_changes_profile_id_at ON membership_changes (profile_id, at);

CREATE TABLE stages (
    profile_id UUID NOT NULL,
    stage TEXT,
    since_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_stages PRIMARY KEY (profile_id)
);

CREATE TABLE stage_changes (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    profile_id UUID NOT NULL,
    before TEXT,
    stage TEXT,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    quiet BOOLEAN NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_stage_changes PRIMARY KEY (id)
);

CREATE INDEX ix_stage_changes_profile_id_at ON stage_changes (profile_id, at);

CREATE INDEX ix_stage_changes_at ON stage_changes (at);

CREATE TABLE tag_grants (
    profile_id UUID NOT NULL,
    tag TEXT NOT NULL,
    source TEXT,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_tag_grants PRIMARY KEY (profile_id, tag)
);

CREATE TABLE rechecks (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    shard SMALLINT NOT NULL,
    profile_id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE,
    quiet BOOLEAN NOT NULL,
    CONSTRAINT pk_rechecks PRIMARY KEY (id)
);

CREATE INDEX ix_rechecks_shard_id ON rechecks (shard, id);

ALTER TABLE profiles ADD COLUMN tags_expire_at TIMESTAMP WITH TIME ZONE;

CREATE INDEX ix_profiles_tags_expire_at ON profiles (tags_expire_at) WHERE tags_expire_at IS NOT NULL
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
