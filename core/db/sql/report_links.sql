-- People's clicks and uniques per link and day; starts are the midnights of the viewer's zone, in order.
select link_id, width_bucket(slot, cast(:starts as timestamptz[])) - 1 as bucket,
       sum(clicks) as clicks, sum(uniques) as uniques
from rollup_totals
where link_id = any(cast(:link_ids as bigint[])) and slot >= :start and slot < :end
group by 1, 2
