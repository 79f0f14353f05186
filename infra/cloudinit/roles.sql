-- The application owns its database only. The upgrader may create databases (the copy that it
-- makes before a migration) and act for the application; only root can be it.
SELECT 'CREATE ROLE mattermost LOGIN'
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mattermost') \gexec
SELECT 'CREATE ROLE townsquare LOGIN CREATEDB'
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'townsquare') \gexec
ALTER ROLE mattermost LOGIN NOCREATEDB NOCREATEROLE NOSUPERUSER;
ALTER ROLE townsquare LOGIN CREATEDB NOCREATEROLE NOSUPERUSER;
GRANT mattermost TO townsquare;
SELECT 'CREATE DATABASE mattermost OWNER mattermost TEMPLATE template0'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'mattermost') \gexec
