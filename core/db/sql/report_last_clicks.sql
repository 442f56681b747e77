-- The newest click of each link, a robot's or not. Partitions are read from the newest, and one row is enough.
select wanted.id as link_id, newest.id
from unnest(cast(:link_ids as bigint[])) as wanted (id)
cross join lateral (
    select clicks.id from clicks where clicks.link_id = wanted.id order by clicks.id desc limit 1
) as newest
