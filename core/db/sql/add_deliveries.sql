-- What is to be told of conversions; a status that was told to a webhook before is left out.
insert into webhook_deliveries
    (webhook_id, conversion_id, conversion_version, status, state, next_try, created_at, ended_at)
select webhook_id, conversion_id, version, status,
       case when is_drawn then 'waiting' else 'skipped' end,
       case when is_drawn then cast(:now as timestamptz) + make_interval(secs => delay_s) end,
       cast(:now as timestamptz),
       case when is_drawn then null else cast(:now as timestamptz) end
from unnest(
    cast(:webhook_ids as bigint[]), cast(:conversion_ids as bigint[]), cast(:versions as int[]),
    cast(:statuses as text[]), cast(:drawn as boolean[]), cast(:delays as int[])
) with ordinality as told (webhook_id, conversion_id, version, status, is_drawn, delay_s, place)
order by place
on conflict (webhook_id, conversion_id, status) where kind = 'event' do nothing
