-- How many seconds a replica is behind: 0 where it shows all that the primary had written at `written`, else the age of
-- the last commit that it shows. Null where it follows nobody. A primary at rest commits nothing, so that age alone
-- would grow there without anything missing.
select case
    when not pg_is_in_recovery() then null
    when pg_last_wal_replay_lsn() >= cast(:written as pg_lsn) then 0
    else greatest(extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()), 0)
end
