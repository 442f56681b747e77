-- Example postbacks of a day are judged at once: what they brought about is written down as of when each of them came.
with came as (
    select *
    from unnest(cast(:ids as uuid[]), cast(:seconds as timestamptz[]), cast(:conversions as bigint[]))
        as one (id, at, conversion_id)
), taken as (
    update postbacks set stored_at = came.at, judged_at = came.at
    from came
    where postbacks.id = came.id
), told as (
    update conversion_history as history set at = came.at
    from came
    where history.conversion_id = came.conversion_id and history.actor = 'postback:' || came.id
)
update conversions
set created_at = coalesce(brought.first, conversions.created_at), updated_at = brought.last
from (
    select history.conversion_id, min(came.at) filter (where history.version = 1) as first, max(came.at) as last
    from came
    join conversion_history as history
        on history.conversion_id = came.conversion_id and history.actor = 'postback:' || came.id
    group by history.conversion_id
) as brought
where conversions.id = brought.conversion_id
