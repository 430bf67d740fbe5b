-- The login role of the service, made when the database is: it may act for the service and the worker, and owns
-- nothing. Elsewhere than under compose: run migrations/roles.sql first, then this by psql, as who may create roles,
-- with CREDITS_APP_PASSWORD in the environment.
\getenv password CREDITS_APP_PASSWORD
create role credits_app login password :'password';
grant mana_service, mana_worker to credits_app;
