-- The conversions that changed, with what decides whom they are told to; the status is the one of that version.
select conversions.id, changed.version, coalesce(history.status, conversions.status) as status, conversions.event,
       conversions.source_id, conversions.link_id, links.campaign_id
from unnest(cast(:ids as bigint[]), cast(:versions as int[])) as changed (id, version)
join conversions on conversions.id = changed.id
left join conversion_history as history
       on history.conversion_id = changed.id and history.version = changed.version
left join links on links.id = conversions.link_id
where not conversions.is_late
order by conversions.id, changed.version
