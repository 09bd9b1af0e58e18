-- LiteLLM's tables as far as the lab's views read them, so that a made-up log needs no gateway.
CREATE SCHEMA lab;

CREATE TABLE "LiteLLM_SpendLogs" (
    request_id text NOT NULL PRIMARY KEY,
    call_type text NOT NULL,
    api_key text NOT NULL DEFAULT '',
    spend double precision NOT NULL DEFAULT 0.0,
    total_tokens integer NOT NULL DEFAULT 0,
    prompt_tokens integer NOT NULL DEFAULT 0,
    completion_tokens integer NOT NULL DEFAULT 0,
    "startTime" timestamp(3) NOT NULL,
    "endTime" timestamp(3) NOT NULL,
    "completionStartTime" timestamp(3),
    request_duration_ms integer,
    model text NOT NULL DEFAULT '',
    model_id text DEFAULT '',
    model_group text DEFAULT '',
    custom_llm_provider text DEFAULT '',
    api_base text DEFAULT '',
    "user" text DEFAULT '',
    metadata jsonb DEFAULT '{}',
    cache_hit text DEFAULT '',
    cache_key text DEFAULT '',
    request_tags jsonb DEFAULT '[]',
    team_id text,
    organization_id text,
    end_user text,
    requester_ip_address text,
    session_id text,
    status text,
    litellm_call_id text,
    response jsonb DEFAULT '{}',
    proxy_server_request jsonb DEFAULT '{}',
    created_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX "LiteLLM_SpendLogs_startTime_request_id_idx" ON "LiteLLM_SpendLogs" ("startTime", request_id);

CREATE TABLE "LiteLLM_VerificationToken" (
    token text NOT NULL PRIMARY KEY,
    key_alias text,
    user_id text,
    team_id text,
    spend double precision NOT NULL DEFAULT 0.0,
    budget_id text,
    max_budget double precision,
    budget_duration text,
    budget_reset_at timestamp(3),
    budget_limits jsonb,
    blocked boolean,
    last_active timestamp(3)
);

CREATE TABLE "LiteLLM_BudgetWindowSpend" (
    entity_type text NOT NULL,
    entity_id text NOT NULL,
    window_duration text NOT NULL,
    window_start timestamp(3) NOT NULL,
    spend double precision NOT NULL DEFAULT 0.0,
    PRIMARY KEY (entity_type, entity_id, window_duration)
);

CREATE TABLE "LiteLLM_DeletedVerificationToken" (
    id text NOT NULL PRIMARY KEY,
    token text NOT NULL,
    key_alias text,
    user_id text,
    team_id text,
    deleted_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE "LiteLLM_TeamTable" (
    team_id text NOT NULL PRIMARY KEY,
    team_alias text,
    spend double precision NOT NULL DEFAULT 0.0,
    max_budget double precision,
    budget_duration text,
    budget_reset_at timestamp(3)
);

CREATE TABLE "LiteLLM_UserTable" (
    user_id text NOT NULL PRIMARY KEY,
    teams text[] DEFAULT ARRAY[]::text[],
    spend double precision NOT NULL DEFAULT 0.0,
    max_budget double precision,
    budget_duration text,
    budget_reset_at timestamp(3)
);

CREATE TABLE "LiteLLM_BudgetTable" (
    budget_id text NOT NULL PRIMARY KEY,
    max_budget double precision,
    budget_duration text,
    budget_reset_at timestamp(3)
);
