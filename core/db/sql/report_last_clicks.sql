-- The newest click of each link, a robot's or not. Partitions are read from the newest, and one row is enough.
select link_id, newest.id
from unnest(cast(:link_ids as bigint[])) as link_id
cross join lateral (
    select id from clicks where clicks.link_id = link_id order by id desc limit 1
) as newest
