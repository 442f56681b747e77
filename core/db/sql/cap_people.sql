-- How many people each link led to its destination, as its door saw them. Rollups hold the final verdict, which finds
-- more robots and never fewer, and they outlive raw clicks; these are read, up to the cap, where that is not reached yet.
select wanted.id as link_id,
       case when totals.people >= wanted.cap then totals.people
            else greatest(totals.people, (
                select count(*) from (
                    select from clicks
                    where link_id = wanted.id and outcome = 0 and door_bot = 0
                    limit wanted.cap
                ) as people
            )) end as people
from unnest(cast(:link_ids as bigint[]), cast(:caps as bigint[])) as wanted (id, cap)
cross join lateral (
    select coalesce(sum(clicks), 0) as people from rollup_totals where link_id = wanted.id
) as totals
