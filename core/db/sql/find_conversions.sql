-- Ids of the conversions (all repeats) that were reported under one of these keys.
select conversions.id
from unnest(
    cast(:source_ids as bigint[]), cast(:ref_clicks as uuid[]), cast(:transaction_ids as text[]),
    cast(:events as text[])
) as wanted (source_id, ref_click, transaction_id, event)
join conversions using (source_id, ref_click, transaction_id, event)
