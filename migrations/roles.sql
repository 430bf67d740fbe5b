-- The roles of the house. Roles belong to the cluster, not to a database, so this file runs before every
-- migration and changes nothing where they exist. None of them can log in: a deployment creates its own
-- login roles and grants them membership.
--
--   mana_owner     owns the tables and functions; every function runs with its rights
--   mana_service   the HTTP service: EXECUTE on the functions it calls, no table at all
--   mana_worker    the queue: owns the graphile_worker schema, else what mana_service may
--   mana_ops       people in psql: the functions and ops.*, reads every table
--   mana_readonly  reads every table, calls nothing that writes
do $$
declare
  v_role text;
begin
  -- One migrator at a time: two databases of one cluster may be migrated at once (tests do).
  perform pg_advisory_xact_lock(hashtextextended('mana-credits roles', 0));
  foreach v_role in array array['mana_owner', 'mana_service', 'mana_worker', 'mana_ops', 'mana_readonly'] loop
    if not exists (select from pg_catalog.pg_roles where rolname = v_role) then
      execute format('create role %I nologin', v_role);
    end if;
    if not pg_has_role(current_user, v_role, 'set') then
      execute format('grant %I to current_user with set true, inherit true', v_role);
    end if;
  end loop;

  if not pg_has_role('mana_ops', 'mana_readonly', 'member') then
    grant mana_readonly to mana_ops;
  end if;
  if not pg_has_role('mana_worker', 'mana_service', 'member') then
    grant mana_service to mana_worker;
  end if;
  -- An event and its delivery job are written in one transaction by functions of the owner.
  if not pg_has_role('mana_owner', 'mana_worker', 'member') then
    grant mana_worker to mana_owner;
  end if;

  -- So that ops.migrations() can tell what has been applied. The table comes with the first migration's run.
  if to_regclass('graphile_migrate.migrations') is not null then
    grant usage on schema graphile_migrate to mana_owner;
    grant select on graphile_migrate.migrations to mana_owner;
  end if;

  execute format('grant create on database %I to mana_owner', current_database());
  -- To install the queue's schema, once: afterwards the worker, whose login the service shares, makes nothing here.
  if to_regclass('graphile_worker.migrations') is null then
    execute format('grant create on database %I to mana_worker', current_database());
  end if;
end
$$;
